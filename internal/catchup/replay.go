package catchup

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// ErrReplay reports that the package changes of the source cannot be repeated in the
// target.
var ErrReplay = errors.New("the package changes of the running system could not be repeated in the boot environment")

// replay repeats the package changes of the source in the target.
func (w work) replay() error {
	if err := w.checkDiversions(); err != nil {
		return err
	}
	before, err := w.packages(w.sides.Target)
	if err != nil {
		return err
	}
	todo, err := w.missing(before)
	if err != nil {
		return err
	}
	apt, err := inside.RealPath(frontend.AptGet, w.store.Path(w.sides.Target))
	if err != nil {
		return err
	}
	for _, step := range replaySteps(apt, todo) {
		w.Notice.Say("In %s: %s", w.Target.Name, strings.Join(step.argv, " "))
		exit, err := w.run(step.path, step.argv)
		if err != nil {
			return err
		}
		if exit != (inside.Exit{}) && !step.optional {
			return fmt.Errorf("%w: %s ended with %d", ErrReplay, step.argv[0], exit.Code)
		}
	}
	after, err := w.packages(w.sides.Target)
	if err != nil {
		return err
	}
	left, err := w.missing(after)
	if err != nil {
		return err
	}
	if !left.Empty() {
		return fmt.Errorf("%w: %+v is missing", ErrReplay, left)
	}
	return checkRemoved(before, after, todo)
}

// checkDiversions fails if the administrator of the source added or removed a diversion
// since the fork. The location of files in the target would then depend on the order of
// package changes.
func (w work) checkDiversions() error {
	before, err := pkgdb.LocalDiversions(w.store.Path(w.sides.Base))
	if err != nil {
		return err
	}
	now, err := pkgdb.LocalDiversions(w.store.Path(w.sides.Running))
	if err != nil {
		return err
	}
	for _, each := range [][2][]string{{before, now}, {now, before}} {
		for _, diversion := range each[0] {
			if !slices.Contains(each[1], diversion) {
				return fmt.Errorf("%w: the administrator diverted %s; repeat the upgrade instead", ErrReplay, diversion)
			}
		}
	}
	return nil
}

// checkRemoved fails if more packages were removed than the source had removed.
func checkRemoved(before, after *pkgdb.DB, todo pkgdb.Replay) error {
	diff, err := pkgdb.Compare(before, after)
	if err != nil {
		return err
	}
	for _, c := range diff.Removed {
		if name := (pkgdb.Package{Name: c.Name, Arch: c.Arch}).AptName(); !slices.Contains(todo.Remove, name) {
			return fmt.Errorf("%w: %s would be removed", ErrReplay, name)
		}
	}
	return nil
}

// packages reads a root's packages. It fails if one is not completely installed.
func (w work) packages(root string) (*pkgdb.DB, error) {
	db, err := pkgdb.Read(w.store.Path(root))
	if err != nil {
		return nil, err
	}
	if broken := append(db.Broken(), db.Unfinished()...); len(broken) > 0 {
		return nil, fmt.Errorf("%w: %s is %s", ErrReplay, broken[0].Name, broken[0].Status)
	}
	return db, nil
}

// missing returns the package changes that the target lacks.
func (w work) missing(target *pkgdb.DB) (pkgdb.Replay, error) {
	base, err := pkgdb.Read(w.store.Path(w.sides.Base))
	if err != nil {
		return pkgdb.Replay{}, err
	}
	running, err := w.packages(w.sides.Running)
	if err != nil {
		return pkgdb.Replay{}, err
	}
	return pkgdb.Missing(base, running, target)
}

// replayStep is a command to run in the target.
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
		name := frontend.AptGet.String()
		if len(todo.Install) > 0 {
			// The source may have installed versions that the target's package lists do
			// not contain yet.
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
