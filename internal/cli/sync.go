package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/ui"
)

func newSync(app *App) *cobra.Command {
	var showRules bool
	cmd := &cobra.Command{
		Use:   "sync [NAME]",
		Short: "Carry over to a boot environment what happened in the running system",
		Long: `Carry over to boot environment NAME, or to the one that waits to be booted,
what has changed in the running system since it was made, as apt-be drift
shows it. It can be done any number of times: each begins where the last ended.
If it is interrupted, the environment is as it was.

Files that services are writing to are carried over as they are at that moment.`,
		Args: takes(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			reg, done, err := app.registry()
			if err != nil {
				return err
			}
			defer done()
			if showRules {
				return app.showRules(reg)
			}
			e, err := driftOf(reg, args)
			if err != nil {
				return err
			}
			return app.sync(cmd.Context(), reg, e)
		},
	}
	cmd.Flags().BoolVar(&showRules, "show-rules", false, "show the rules for files that both systems may change")
	return cmd
}

func (app *App) showRules(reg *be.Registry) error {
	running, err := reg.Running()
	if err != nil {
		return err
	}
	rules, err := readRules(reg.Store().Path(running.Subvolume.Path))
	if err != nil {
		return err
	}
	table := ui.NewTable(app.Stdout, app.options.Plain, "PATH", "ACTION", "FROM")
	for _, rule := range rules {
		table.Row(rule.Pattern, string(rule.Action), rule.From)
	}
	return table.Flush()
}

// sync has an environment that is changed take the place of e: a copy of it.
func (app *App) sync(ctx context.Context, reg *be.Registry, e be.Env) error {
	sides, err := driftSides(reg, e)
	if err != nil {
		return fmt.Errorf("cannot carry anything over to %s: %w", e.Name, err)
	}
	st := reg.Store()
	rules, err := readRules(st.Path(sides.Live))
	if err != nil {
		return err
	}
	running, err := reg.Running()
	if err != nil {
		return err
	}
	if at := app.Mounted(st, e); len(at) > 0 {
		return fmt.Errorf("cannot carry anything over to %s: %w: it is mounted at %s", e.Name, be.ErrProtected, at[0])
	}
	if app.would("carry over to %s what happened in %s", e.Name, running.Name) {
		return nil
	}
	lock, err := app.use(ctx, reg, e)
	if err != nil {
		return err
	}
	defer lock.Release()
	release, err := app.hold(ctx, reg, running)
	if err != nil {
		return err
	}
	build, recovered, err := reg.Renew(ctx, e, running)
	release()
	app.tellRecovered(recovered)
	if err != nil {
		return fmt.Errorf("cannot carry anything over to %s: %w", e.Name, err)
	}
	sides.Live, sides.Next = build.Base, build.Path
	found, err := carryOver(st, sides, rules, be.EnvDir+"/"+e.Name)
	if err != nil {
		return errors.Join(fmt.Errorf("cannot carry anything over to %s: %w", e.Name, err), build.Discard(ctx))
	}
	if at := app.Mounted(st, e); len(at) > 0 {
		err := fmt.Errorf("cannot carry anything over to %s: %w: it is mounted at %s", e.Name, be.ErrProtected, at[0])
		return errors.Join(err, build.Discard(ctx))
	}
	if _, err := build.Replace(ctx, e); err != nil {
		return fmt.Errorf("cannot carry anything over to %s: %w", e.Name, err)
	}
	for _, d := range derived {
		if slices.ContainsFunc(found.Changes, d.concerns) {
			app.notice().Warn("%s was changed: apt-be run %s -- %s brings what is made from it up to date.", d.what, e.Name, d.command)
		}
	}
	return app.tellDrift(e.Name, found, false, false)
}

// derivation is what files of an environment are made from, and by which command.
type derivation struct {
	what, command string
	inputs        []string // paths, and those of directories
}

var derived = []derivation{
	{"Where libraries are", "ldconfig", []string{"usr/local/lib", "etc/ld.so.conf", "etc/ld.so.conf.d"}},
	{"What the initramfs holds", "update-initramfs -u", []string{
		"etc/crypttab", "etc/initramfs-tools", "etc/modprobe.d", "etc/modules", "etc/modules-load.d", "etc/lvm", "etc/mdadm",
	}},
}

// concerns says whether a change is of one of the inputs, and is carried over.
func (d derivation) concerns(c drift.Change) bool {
	if c.Fate() == drift.Left {
		return false
	}
	return slices.ContainsFunc(d.inputs, func(input string) bool {
		return c.Path == input || strings.HasPrefix(c.Path, input+"/")
	})
}

// carryOver changes an environment that is being built, which will be at a place
// in the store. The drift that it returns is what it has carried over.
func carryOver(st store.Store, sides drift.Sides, rules merge.Rules, place string) (*drift.Drift, error) {
	if err := samePackages(st.Path(sides.Base), st.Path(sides.Live)); err != nil {
		return nil, err
	}
	found, err := drift.Find(st, sides, rules)
	if err != nil {
		return nil, err
	}
	found.Changes = slices.DeleteFunc(found.Changes, drift.Change.Settled)
	if err := found.Carry(st, sides); err != nil {
		return nil, err
	}
	// An fstab that came from the running system names that.
	return found, redirect.SetRoot(st.Path(sides.Next), place)
}

// samePackages returns an error if packages were changed between two roots.
func samePackages(before, after string) error {
	old, err := pkgdb.Fingerprint(before)
	if err != nil {
		return err
	}
	now, err := pkgdb.Fingerprint(after)
	if err != nil {
		return err
	}
	if old != now {
		return drift.ErrPackages
	}
	return nil
}
