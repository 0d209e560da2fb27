package share

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/procs"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// AddOptions say what is to become a share.
type AddOptions struct {
	Path      string // absolute and clean, of a directory of the running root
	Name      string // "" for one made from the path
	OpenFiles bool   // also if files are open there
}

// Addition is a directory that can become a share.
type Addition struct {
	AddOptions
	Running be.Env
	Hides   []be.Env // environments that have data of their own there, which the share will hide
	Without []be.Env // environments that can't be changed, and so won't mount it
}

// PlanAdd looks whether a directory can become a share: a *Refusal if not,
// be.ErrBadName, be.ErrExists.
func (s *Shares) PlanAdd(o AddOptions) (*Addition, error) {
	a, err := s.planAdd(o)
	if err != nil {
		return nil, fmt.Errorf("cannot make %s a share: %w", o.Path, err)
	}
	return a, nil
}

func (s *Shares) planAdd(o AddOptions) (*Addition, error) {
	if err := checkName(o.Path); err != nil {
		return nil, err
	}
	if o.Name == "" {
		o.Name = nameFor(o.Path)
	}
	if err := be.CheckName(o.Name); err != nil {
		return nil, err
	}
	running, err := s.registry.Running()
	if err != nil {
		return nil, err
	}
	if err := s.checkDirectory(running.Subvolume.Path, o.Path); err != nil {
		return nil, err
	}
	if err := s.checkFree(o.Name); err != nil {
		return nil, err
	}
	if err := s.quiet(); err != nil {
		return nil, err
	}
	a := &Addition{AddOptions: o, Running: running}
	if err := s.lookAtOthers(a); err != nil {
		return nil, err
	}
	return a, s.checkOpen(a)
}

// checkDirectory refuses a directory of a root for what is there.
func (s *Shares) checkDirectory(env, dir string) error {
	points, err := s.machine.Points()
	if err != nil {
		return err
	}
	if err := checkMounts(dir, points); err != nil {
		return err
	}
	entries, err := s.entries(env)
	if err != nil {
		return err
	}
	if err := checkEntries(dir, entries); err != nil {
		return err
	}
	root, err := rootfs.Open(s.store.Path(env))
	if err != nil {
		return err
	}
	defer root.Close()
	if err := checkWay(root, dir); err != nil {
		return err
	}
	if err := s.checkNested(env, dir); err != nil {
		return err
	}
	return checkPackages(root, dir, s.store.Path(env))
}

// checkFree returns be.ErrExists if there is something of a name among the shares.
func (s *Shares) checkFree(name string) error {
	_, err := s.store.Get(Dir + "/" + name)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err == nil || errors.Is(err, store.ErrNotSubvolume) {
		err = fmt.Errorf("%w: the share %s", store.ErrExists, name)
	}
	return err
}

// lookAtOthers looks what the other environments have in the place of the share.
func (s *Shares) lookAtOthers(a *Addition) error {
	others, err := s.others(a.Running.Subvolume.UUID)
	if err != nil {
		return err
	}
	for _, e := range others {
		if e.Subvolume.ReadOnly {
			a.Without = append(a.Without, e)
			continue
		}
		entries, err := s.entries(e.Subvolume.Path)
		if err == nil {
			err = checkEntries(a.Path, entries)
		}
		var hides bool
		if err == nil {
			hides, err = s.hasData(e, a.Path)
		}
		if err != nil {
			return fmt.Errorf("boot environment %s can't mount it: %w", e.Name, err)
		}
		if hides {
			a.Hides = append(a.Hides, e)
		}
	}
	return nil
}

// others are all environments but the one with a UUID.
func (s *Shares) others(uuid string) ([]be.Env, error) {
	envs, err := s.registry.List()
	if err != nil {
		return nil, err
	}
	var others []be.Env
	for _, e := range envs {
		if e.Subvolume.UUID != uuid {
			others = append(others, e)
		}
	}
	return others, nil
}

// hasData says whether there is something in a directory of an environment. That
// it is no directory, or that a link leads there, is an error.
func (s *Shares) hasData(e be.Env, dir string) (bool, error) {
	root, err := rootfs.Open(s.store.Path(e.Subvolume.Path))
	if err != nil {
		return false, err
	}
	defer root.Close()
	name := strings.TrimPrefix(dir, "/")
	for at, rest, more := "", name, true; more; {
		var part string
		part, rest, more = strings.Cut(rest, "/")
		at = strings.TrimPrefix(at+"/"+part, "/")
		node, err := root.Node(at)
		switch {
		case err != nil:
			return false, err
		case node.Kind == merge.Missing:
			return false, nil
		case node.Kind != merge.Directory:
			return false, refuse("/%s is %s there", at, node.Kind)
		}
	}
	names, err := root.Names(name)
	return len(names) > 0, err
}

// checkOpen refuses what processes are about to write to.
func (s *Shares) checkOpen(a *Addition) error {
	if a.OpenFiles {
		return nil
	}
	users, err := s.writers(a.Running.Subvolume.Path, a.Path)
	if err == nil && len(users) > 0 {
		err = inUse(users)
	}
	return err
}

// writers are the processes that are about to write below a directory of the
// running root, which may be below a mount.
func (s *Shares) writers(env, dir string) ([]procs.Process, error) {
	device, err := deviceOf(s.store.Path(env + dir))
	if err != nil {
		return nil, err
	}
	return s.machine.Users(func(f procs.File) bool {
		return f.Use != procs.Reads && f.Device == device && within(f.Path, dir)
	})
}

// inUse refuses because of processes.
func inUse(users []procs.Process) *Refusal {
	names := make([]string, len(users))
	for i, user := range users {
		names[i] = fmt.Sprintf("%s (%s) by %s", user.File.Path, user.File.Use, user)
	}
	return refuse("files are in use there: %s", list(names)).hint("%s", stopping(users))
}

// stopping says how processes can be ended.
func stopping(users []procs.Process) string {
	var units []string
	others := false
	seen := map[string]bool{}
	for _, user := range users {
		if !strings.HasSuffix(user.Unit, ".service") {
			others = true
		} else if !seen[user.Unit] {
			seen[user.Unit] = true
			units = append(units, user.Unit)
		}
	}
	how := "end these processes"
	if len(units) > 0 {
		how = "systemctl stop " + strings.Join(units, " ")
		if others {
			how += ", and end the others"
		}
	}
	return how + ", and try again; or --accept-risk " + RiskOpenFiles + ", which loses what they write to files that they have open"
}

// RiskOpenFiles is the name of the risk that OpenFiles takes.
const RiskOpenFiles = "open-files"

// settle is the time between two looks at what may still be changing.
const settle = 25 * time.Millisecond

// copyTree brings a mirror up to date with what may be in use: a *Refusal if that
// goes on changing.
func copyTree(ctx context.Context, mirror *rootfs.Mirror) error {
	const passes = 50
	var changed []string
	for n := range passes {
		if n > 1 {
			time.Sleep(settle)
		}
		var err error
		if changed, err = mirror.Pass(ctx); err != nil {
			return err
		}
		if len(changed) == 0 {
			return mirror.Finish()
		}
	}
	return written(changed)
}

// written refuses because of what has changed since it was copied.
func written(changed []string) *Refusal {
	return refuse("there was written to meanwhile: %s", list(changed)).hint("stop what writes there, and try again")
}

// Add makes a directory a share. The caller holds the Lock, and has planned it
// since. Until the fstab of the running environment names the share all is taken
// back on an error, and finished afterwards.
func (s *Shares) Add(ctx context.Context, a *Addition) error {
	t, err := s.registry.Transaction("making " + a.Path + " a share")
	if err == nil {
		err = s.add(ctx, t, a)
	}
	if err != nil {
		return fmt.Errorf("cannot make %s a share: %w", a.Path, err)
	}
	return nil
}

func (s *Shares) add(ctx context.Context, t *txn.Txn, a *Addition) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Rollback(ctx))
		}
	}()
	fresh := Dir + "/" + newPrefix + t.ID
	if err := t.Do(ctx, txn.Step{Kind: stepMake, Args: txn.Args{"dst": fresh}}); err != nil {
		return err
	}
	to, from, err := s.openTrees(fresh, a.Running.Subvolume.Path+a.Path)
	if err != nil {
		return err
	}
	defer to.Close()
	defer from.Close()
	mirror := rootfs.NewMirror(to, from)
	if err := copyTree(ctx, mirror); err != nil {
		return err
	}
	m, err := s.moveOf(a, fresh)
	if err != nil {
		return err
	}
	if err := t.Do(ctx, m.step(stepName)); err != nil {
		return err
	}
	if err := s.cover(ctx, t, a, &m, mirror); err != nil {
		return err
	}
	for _, kind := range []string{stepEnter, stepEmpty} {
		if err := t.Do(ctx, m.step(kind)); err != nil {
			return err
		}
	}
	return t.End()
}

// cover mounts the copy over the directory, at a moment at which it is the same:
// what is written until it is mounted is copied too, and afterwards nobody can
// write to it before it is all that counts.
func (s *Shares) cover(ctx context.Context, t *txn.Txn, a *Addition, m *move, mirror *rootfs.Mirror) error {
	const tries = 10
	var changed []string
	for range tries {
		if err := copyTree(ctx, mirror); err != nil {
			return err
		}
		if err := s.store.Sync(); err != nil {
			return err
		}
		m.old = mirror.Fingerprint()
		if err := t.Do(ctx, m.step(stepMount)); err != nil {
			return err
		}
		if err := s.checkClosed(a, mirror); err != nil {
			return err
		}
		var err error
		if changed, err = mirror.Changed(); err != nil || len(changed) == 0 {
			return err
		}
		if err := s.uncover(*m); err != nil {
			return err
		}
	}
	return written(changed)
}

// openTrees opens two directories of the store, whose owners are numbers.
func (s *Shares) openTrees(a, b string) (first, second *rootfs.Root, err error) {
	if first, err = rootfs.OpenTree(s.store.Path(a), ""); err != nil {
		return nil, nil, err
	}
	if second, err = rootfs.OpenTree(s.store.Path(b), ""); err != nil {
		first.Close()
		return nil, nil, err
	}
	return first, second, nil
}

// checkClosed refuses if what is copied can be changed by those who have come to
// it before something was mounted over it.
func (s *Shares) checkClosed(a *Addition, mirror *rootfs.Mirror) error {
	if a.OpenFiles {
		return nil
	}
	device, err := deviceOf(s.store.Path(a.Running.Subvolume.Path + a.Path))
	if err != nil {
		return err
	}
	inodes := mirror.Inodes()
	users, err := s.machine.Users(func(f procs.File) bool {
		return f.Use != procs.Reads && f.Device == device && inodes[f.Inode]
	})
	if err == nil && len(users) > 0 {
		err = inUse(users)
	}
	return err
}
