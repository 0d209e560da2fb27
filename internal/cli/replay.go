package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// errReplay says that an environment's packages could not be brought to what was
// done to those of the running system.
var errReplay = errors.New("what was done to packages of the running system could not be done there too")

// replayPackages does to an environment's packages what was done to those of the
// running system since it was made, and carries over all else. It happens in a copy
// that takes the environment's place if all went well. would says that it was a
// dry run, after which nothing else makes sense.
func (app *App) replayPackages(ctx context.Context, name string) (would bool, err error) {
	reg, done, err := app.registry()
	if err != nil {
		return false, err
	}
	defer done()
	e, err := reg.Get(name)
	if err != nil {
		return false, err
	}
	l, err := app.lifeOfRunning(reg, e)
	if err != nil {
		return false, err
	}
	changed, err := drift.PackagesChanged(reg.Store(), l.sides)
	if err != nil || !changed {
		return false, err
	}
	if app.would("do to the packages of %s what was done to those of %s", e.Name, l.live.Name) {
		return true, nil
	}
	l.packages = func(sides drift.Sides, lock *txn.Lock) error {
		return app.replay(reg, e, sides, lock)
	}
	_, err = app.carryOver(ctx, reg, l, func(r *be.Record) {
		if r.State == be.Stale {
			r.State, r.Reason = be.Ready, ""
		}
	})
	if err != nil {
		return false, err
	}
	if e, err = reg.Get(name); err != nil {
		return false, err
	}
	return false, app.describe(ctx, reg, e)
}

// replay runs apt in an environment that is being built.
func (app *App) replay(reg *be.Registry, e be.Env, sides drift.Sides, lock *txn.Lock) error {
	st := reg.Store()
	before, err := readPackages(st, sides.Next)
	if err != nil {
		return err
	}
	todo, err := missingPackages(st, sides, before)
	if err != nil {
		return err
	}
	apt, err := redirect.AptGet.RealPath(st.Path(sides.Next))
	if err != nil {
		return err
	}
	root := redirect.Root{Name: e.Name, Subvolume: sides.Next, UUID: e.Subvolume.UUID}
	for _, step := range replaySteps(apt, todo) {
		app.notice().Say("In %s: %s", e.Name, strings.Join(step.argv, " "))
		exit, err := app.supervisor(reg).Execute(root, step.path, step.argv, lock.File())
		if err != nil {
			return err
		}
		if exit != (redirect.Exit{}) && !step.optional {
			return fmt.Errorf("%w: %s ended with %d", errReplay, step.argv[0], exit.Code)
		}
	}
	after, err := readPackages(st, sides.Next)
	if err != nil {
		return err
	}
	left, err := missingPackages(st, sides, after)
	if err != nil {
		return err
	}
	if !left.Empty() {
		return fmt.Errorf("%w: %+v is left to do", errReplay, left)
	}
	return checkRemoved(before, after, todo)
}

// checkRemoved returns an error if more was removed than there was to remove.
func checkRemoved(before, after *pkgdb.DB, todo pkgdb.Replay) error {
	diff, err := pkgdb.Compare(before, after)
	if err != nil {
		return err
	}
	for _, c := range diff.Removed {
		if name := (pkgdb.Package{Name: c.Name, Arch: c.Arch}).AptName(); !slices.Contains(todo.Remove, name) {
			return fmt.Errorf("%w: %s would have to go", errReplay, name)
		}
	}
	return nil
}

// readPackages reads the packages of a root that is whole.
func readPackages(st store.Store, root string) (*pkgdb.DB, error) {
	db, err := pkgdb.Read(st.Path(root))
	if err != nil {
		return nil, err
	}
	if broken := append(db.Broken(), db.Unfinished()...); len(broken) > 0 {
		return nil, fmt.Errorf("%w: %s is %s", errReplay, broken[0].Name, broken[0].Status)
	}
	return db, nil
}

// missingPackages says what is to be done in the environment.
func missingPackages(st store.Store, sides drift.Sides, next *pkgdb.DB) (pkgdb.Replay, error) {
	base, err := pkgdb.Read(st.Path(sides.Base))
	if err != nil {
		return pkgdb.Replay{}, err
	}
	live, err := readPackages(st, sides.Live)
	if err != nil {
		return pkgdb.Replay{}, err
	}
	return pkgdb.Missing(base, live, next)
}

// replayStep is a command that runs in the environment.
type replayStep struct {
	path     string
	argv     []string
	optional bool
}

func replaySteps(apt string, todo pkgdb.Replay) []replayStep {
	var steps []replayStep
	packages := slices.Clone(todo.Install)
	for _, name := range todo.Remove {
		packages = append(packages, name+"-")
	}
	if len(packages) > 0 {
		name := redirect.AptGet.String()
		if len(todo.Install) > 0 {
			// What was installed may be younger than what the environment knows of.
			steps = append(steps, replayStep{apt, []string{name, "update"}, true})
		}
		steps = append(steps, replayStep{apt, append([]string{name, "-y", "install"}, packages...), false})
	}
	for _, mark := range []struct {
		verb  string
		names []string
	}{{"auto", todo.Auto}, {"manual", todo.Manual}, {"hold", todo.Hold}, {"unhold", todo.Unhold}} {
		if len(mark.names) > 0 {
			steps = append(steps, replayStep{"/usr/bin/apt-mark", append([]string{"apt-mark", mark.verb}, mark.names...), false})
		}
	}
	return steps
}
