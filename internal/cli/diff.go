package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/ui"
)

// diffJSON is what diff --packages --json prints.
type diffJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
	pkgdb.Diff
}

func newDiff(app *App) *cobra.Command {
	var packages bool
	cmd := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Compare the packages of boot environments",
		Long: `Show which packages boot environment B has that A has not, the other way
round, and in which versions they differ. Without B, A is compared with the
running one: what is shown is what A would change.`,
		Args: takes(1, 2),
		RunE: func(_ *cobra.Command, args []string) error {
			if !packages {
				return usageError{errors.New("cannot compare anything but packages")}
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
			return app.diffPackages(reg, from, to)
		},
	}
	cmd.Flags().BoolVar(&packages, "packages", true, "compare packages; there is nothing else to compare yet")
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
	before, err := pkgdb.Read(reg.Store().Path(from.Subvolume.Path))
	if err != nil {
		return fmt.Errorf("cannot read the packages of %s: %w", from.Name, err)
	}
	after, err := pkgdb.Read(reg.Store().Path(to.Subvolume.Path))
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
		fmt.Fprintf(app.Stdout, "%s\n", redirect.Count(diff).Summary())
	}
	return nil
}
