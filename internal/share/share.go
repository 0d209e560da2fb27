// Package share keeps shares: subvolumes that every boot environment mounts, so
// that what is in them does not go back with a rollback.
//
// Nothing but the fstabs of the environments says who mounts a share, and where.
package share

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
)

// Dir holds the shares, in the top-level subvolume.
const Dir = be.ShareDir

// newPrefix begins the name of one under construction.
const newPrefix = ".new-"

const fstabFile = "/etc/fstab"

// ErrNotFound says that there is no such share.
var ErrNotFound = errors.New("no such share")

// Refusal says why something is not done.
type Refusal struct {
	Reason string
	Hint   string // what can be done about it; "" if nothing is known
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, args ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, args...)}
}

func (r *Refusal) hint(format string, args ...any) *Refusal {
	r.Hint = fmt.Sprintf(format, args...)
	return r
}

// Shares are those of the file system that holds the environments of a registry.
type Shares struct {
	registry *be.Registry
	store    store.Store
	machine  Host
	now      func() time.Time // by which changes settle
}

// New returns the shares beside the environments of a registry, and has what was
// cut off with them settled when the registry recovers.
func New(registry *be.Registry, machine Host) *Shares {
	s := &Shares{registry: registry, store: registry.Store(), machine: machine, now: time.Now}
	registry.Handle(s.handlers())
	return s
}

// mirror returns a Mirror that uses the clock of s.
func (s *Shares) mirror(to, from *rootfs.Root) *rootfs.Mirror {
	mirror := rootfs.NewMirror(to, from)
	mirror.Now = s.now
	return mirror
}

// Share is a subvolume that environments mount.
type Share struct {
	Name      string
	Path      string // where it is mounted: in the running environment, or else in the first one that does; "" if in none
	Subvolume store.Subvolume
	Mounts    []Mount    // the environments that mount it, oldest first
	Snapshots []Snapshot // what it was when the machine left for environments
}

// Mount is where an environment mounts a share.
type Mount struct {
	Env be.Env
	Dir string
}

// Snapshot is what a share was when the machine left for an environment.
type Snapshot struct {
	be.ShareSnapshot
	Env       be.Env
	Subvolume store.Subvolume
}

// MountedBy says whether an environment mounts the share.
func (s Share) MountedBy(e be.Env) bool {
	return slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Env.Subvolume.UUID == e.Subvolume.UUID })
}

// List describes all shares, by name.
func (s *Shares) List() ([]Share, error) {
	subvolumes, err := s.store.List(Dir)
	if err != nil {
		return nil, err
	}
	envs, err := s.registry.List()
	if err != nil {
		return nil, err
	}
	var shares []Share
	for _, sub := range subvolumes {
		name := path.Base(sub.Path)
		if !strings.HasPrefix(name, newPrefix) {
			shares = append(shares, Share{Name: name, Subvolume: sub})
		}
	}
	for _, e := range envs {
		if err := s.addMounts(shares, e); err != nil {
			return nil, err
		}
		if err := s.addPast(shares, e); err != nil {
			return nil, err
		}
	}
	return shares, nil
}

func (s *Shares) addMounts(shares []Share, e be.Env) error {
	entries, err := s.entries(e.Subvolume.Path)
	if err != nil {
		return fmt.Errorf("cannot find out what %s mounts: %w", e.Name, err)
	}
	for _, entry := range entries {
		i := slices.IndexFunc(shares, func(share Share) bool { return share.Subvolume.Path == entry.Subvolume() })
		if i < 0 {
			continue
		}
		if shares[i].Path == "" || e.Running {
			shares[i].Path = entry.Dir
		}
		shares[i].Mounts = append(shares[i].Mounts, Mount{e, entry.Dir})
	}
	return nil
}

func (s *Shares) addPast(shares []Share, e be.Env) error {
	subvolumes, err := s.registry.ShareSnapshotsOf(e)
	if err != nil {
		return err
	}
	for _, past := range e.Record.ShareSnapshots {
		i := slices.IndexFunc(shares, func(share Share) bool { return share.Name == past.Share })
		if sub, ok := subvolumes[past.Share]; ok && i >= 0 {
			shares[i].Snapshots = append(shares[i].Snapshots, Snapshot{past, e, sub})
		}
	}
	return nil
}

// Find returns the share that has a name, or that the running environment mounts
// at an absolute path: ErrNotFound.
func (s *Shares) Find(what string) (Share, error) {
	shares, err := s.List()
	if err != nil {
		return Share{}, err
	}
	for _, share := range shares {
		at := slices.IndexFunc(share.Mounts, func(m Mount) bool { return m.Env.Running && m.Dir == path.Clean(what) })
		if share.Name == what || at >= 0 {
			return share, nil
		}
	}
	return Share{}, fmt.Errorf("%w: %s", ErrNotFound, what)
}

// Mounted returns the directories at which the root in a directory mounts shares.
func Mounted(root string) ([]string, error) {
	entries, err := entriesIn(root)
	var dirs []string
	for _, entry := range entries {
		if path.Dir(entry.Subvolume()) == Dir {
			dirs = append(dirs, entry.Dir)
		}
	}
	return dirs, err
}

// entries are those of the fstab of an environment; none if it has no fstab.
func (s *Shares) entries(env string) ([]fstab.Entry, error) { return entriesIn(s.store.Path(env)) }

func entriesIn(root string) ([]fstab.Entry, error) {
	text, err := fstabIn(root)
	return fstab.Entries(text), err
}

// fstabIn is the text of a root's fstab, nothing if there is none.
func fstabIn(root string) ([]byte, error) {
	text, err := inroot.ReadFile(root, fstabFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// isAt says whether the subvolume with a UUID is at a path.
func (s *Shares) isAt(at, uuid string) (bool, error) {
	sub, err := s.store.Get(at)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume) {
		return false, nil
	}
	return err == nil && sub.UUID == uuid, err
}

// quiet refuses while somebody builds an environment or works in one: what they
// see of a directory is what it was.
func (s *Shares) quiet() error {
	building, err := s.registry.Building()
	if err != nil {
		return err
	}
	if len(building) > 0 {
		return refuse("boot environment %s is being made at this moment", building[0]).hint("try again when it is done")
	}
	envs, err := s.registry.List()
	if err != nil {
		return err
	}
	for _, e := range envs {
		if s.registry.InUse(e) {
			return refuse("somebody works in boot environment %s at this moment", e.Name).hint("try again when that has ended")
		}
	}
	return nil
}

// findHere finds a share, and the environment that runs.
func (s *Shares) findHere(what string) (share Share, running be.Env, err error) {
	if share, err = s.Find(what); err == nil {
		running, err = s.registry.Running()
	}
	return share, running, err
}
