package share

import (
	"errors"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/procs"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
)

// AddOptions are the options of PlanAdd.
type AddOptions struct {
	Path      string // an absolute, cleaned path in the running root
	Name      string // "" for a name made from the path
	OpenFiles bool   // also if files are open there
}

// Addition is a directory that can become a share.
type Addition struct {
	AddOptions
	Running be.Env
	Hides   []be.Env // environments with data of their own at that path, which the share will hide
	Without []be.Env // environments that cannot be changed and will not mount it
}

// PlanAdd checks whether a directory can become a share. Errors: *Refusal,
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
	return a, s.refuseWriters(a, func(f procs.File) bool { return within(f.Path, a.Path) })
}

// checkDirectory refuses a directory of a root because of its content or mounts.
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
	// A process with the directory mounted elsewhere would continue to see the emptied
	// directory.
	binds, err := s.machine.Binds(env + dir)
	if err != nil {
		return err
	}
	if len(binds) > 0 {
		return refuse("it, or a directory in it, is also mounted at %s, where process %d sees it", binds[0].Dir, binds[0].PID).
			hint("unmount it there")
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

// checkFree returns be.ErrExists if the name of a share is taken.
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

// lookAtOthers determines what the other environments have at the share's path.
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
			return fmt.Errorf("boot environment %s cannot mount it: %w", e.Name, err)
		}
		if hides {
			a.Hides = append(a.Hides, e)
		}
	}
	return nil
}

// others returns all environments except the one with a UUID.
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

// hasData reports whether a directory of an environment is not empty. It fails if the
// path is not a directory or contains a link.
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
