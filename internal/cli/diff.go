package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/ui"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// diffJSON is the output of diff --json.
type diffJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
	pkgdb.Diff
}

// filesJSON is the output of diff --files --json.
type filesJSON struct {
	From  string     `json:"from"`
	To    string     `json:"to"`
	Files []fileJSON `json:"files"`
}

type fileJSON struct {
	Path   string `json:"path"`
	Change string `json:"change"`
}

func newDiff(app *App) *cobra.Command {
	var packages, files bool
	cmd := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Compare the packages of boot environments, or their files",
		Long: `Show which packages exist only in boot environment A or B, and which have different
versions. Without B, compare A with the running one: the result shows what booting A
would change.

With --files, show which files exist only in A or B, and which differ in content,
mode, owner or attributes. Times are not compared.`,
		Args: takes(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if !packages && !files {
				return usageError{errors.New("cannot compare anything except packages and files")}
			}
			reg, done, err := app.registry()
			if err != nil {
				return err
			}
			defer done()
			from, to, err := diffSides(reg, args)
			if err != nil {
				return err
			}
			if files {
				return app.diffFiles(reg, from, to)
			}
			return app.diffPackages(reg, from, to)
		},
	}
	cmd.Flags().BoolVar(&packages, "packages", true, "compare packages")
	cmd.Flags().BoolVar(&files, "files", false, "compare files")
	return cmd
}

func diffSides(reg *be.Registry, args []string) (from, to be.Env, err error) {
	if len(args) == 1 {
		if from, err = reg.Running(); err == nil {
			to, err = reg.Get(args[0])
		}
		return from, to, err
	}
	if from, err = reg.Get(args[0]); err == nil {
		to, err = reg.Get(args[1])
	}
	return from, to, err
}

func (app *App) diffPackages(reg *be.Registry, from, to be.Env) error {
	before, err := pkgdb.Read(reg.Dir(from))
	if err != nil {
		return fmt.Errorf("cannot read the packages of %s: %w", from.Name, err)
	}
	after, err := pkgdb.Read(reg.Dir(to))
	if err != nil {
		return fmt.Errorf("cannot read the packages of %s: %w", to.Name, err)
	}
	diff, err := pkgdb.Compare(before, after)
	if err != nil {
		return err
	}
	if app.options.JSON {
		return ui.JSON(app.Stdout, diffJSON{from.Name, to.Name, diff})
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "CHANGE", "PACKAGE", "FROM", "TO")
	for _, group := range []struct {
		what    string
		changes []pkgdb.Change
	}{
		{"upgraded", diff.Upgraded}, {"downgraded", diff.Downgraded},
		{"added", diff.Added}, {"removed", diff.Removed},
	} {
		for _, c := range group.changes {
			table.Row(group.what, c.Name+":"+c.Arch, dash(c.From), dash(c.To))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !app.options.Plain {
		app.line("%s", upgrade.Count(diff).Summary())
	}
	return nil
}

func (app *App) diffFiles(reg *be.Registry, from, to be.Env) error {
	before, err := openFiles(reg, from)
	if err != nil {
		return fmt.Errorf("cannot read the files of %s: %w", from.Name, err)
	}
	defer before.Close()
	after, err := openFiles(reg, to)
	if err != nil {
		return fmt.Errorf("cannot read the files of %s: %w", to.Name, err)
	}
	defer after.Close()
	result := filesJSON{from.Name, to.Name, []fileJSON{}}
	err = merge.Compare(before, after, rootfs.Same, func(d merge.Difference) error {
		result.Files = append(result.Files, fileJSON{"/" + d.Path, changeOf(d)})
		return nil
	})
	if err != nil {
		return fmt.Errorf("cannot compare the files of %s and %s: %w", from.Name, to.Name, err)
	}
	if app.options.JSON {
		return ui.JSON(app.Stdout, result)
	}
	if len(result.Files) == 0 && !app.options.Plain {
		app.line("no file differs")
		return nil
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "CHANGE", "PATH")
	for _, file := range result.Files {
		table.Row(file.Change, file.Path)
	}
	return table.Flush()
}

// openFiles opens the root of an environment with its parts.
func openFiles(reg *be.Registry, e be.Env) (*rootfs.Root, error) {
	own, err := parts.Of(reg, e)
	if err != nil {
		return nil, err
	}
	return drift.Open(reg.Store(), e.Subvolume.Path, own)
}

// changeOf describes a difference in one word.
func changeOf(d merge.Difference) string {
	switch {
	case d.Before.Kind == merge.Missing:
		return "added"
	case d.After.Kind == merge.Missing:
		return "removed"
	case d.Content:
		return "changed"
	}
	return "attributes"
}
