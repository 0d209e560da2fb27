// Package share manages shares: subvolumes that every boot environment mounts, so that
// a rollback does not revert their data.
//
// Only the fstabs of the environments record which environment mounts a share, and
// where.
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

// Dir is the directory of shares in the top-level subvolume.
const Dir = be.ShareDir

// newPrefix is the prefix of shares under construction.
const newPrefix = ".new-"

const fstabFile = "/etc/fstab"

// ErrNotFound reports that there is no such share.
var ErrNotFound = errors.New("no such share")

// Refusal is the reason why an operation is refused.
type Refusal struct {
	Reason string
	Hint   string // a remedy; "" if none is known
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(format string, args ...any) *Refusal {
	return &Refusal{Reason: fmt.Sprintf(format, args...)}
}

func (r *Refusal) hint(format string, args ...any) *Refusal {
	r.Hint = fmt.Sprintf(format, args...)
	return r
}

// Shares manages the shares of the file system that contains a registry's environments.
type Shares struct {
	registry *be.Registry
	store    store.Store
	machine  Host
	now      func() time.Time // by which changes settle
}

// New returns the shares of a registry. It adds its steps to those that the registry's
// recovery can settle.
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
	Path      string // the mount point: in the running environment, otherwise in the first one that mounts it; "" if none does
	Subvolume store.Subvolume
	Mounts    []Mount    // the environments that mount it, oldest first
	Snapshots []Snapshot // its snapshots
}

// Mount is a mount point of a share in an environment.
type Mount struct {
	Env be.Env
	Dir string
}

// Snapshot is a snapshot of a share from the time when the machine left for an
// environment.
type Snapshot struct {
	be.ShareSnapshot
	Env       be.Env
	Subvolume store.Subvolume
}

// MountedBy reports whether an environment's fstab mounts the share.
func (s Share) MountedBy(e be.Env) bool {
	return slices.ContainsFunc(s.Mounts, func(m Mount) bool { return m.Env.Subvolume.UUID == e.Subvolume.UUID })
}

// List returns all shares, sorted by name.
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
		return fmt.Errorf("cannot determine the shares of %s: %w", e.Name, err)
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

// Find returns the share with a name, or the one that the running environment mounts at
// an absolute path. Error: ErrNotFound.
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

// Mounted returns the directories at which a root's fstab mounts shares.
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

// entries returns the fstab entries of an environment; none if it has no fstab.
func (s *Shares) entries(env string) ([]fstab.Entry, error) { return entriesIn(s.store.Path(env)) }

func entriesIn(root string) ([]fstab.Entry, error) {
	text, err := fstabIn(root)
	return fstab.Entries(text), err
}

// fstabIn returns the text of a root's fstab, or nothing if there is none.
func fstabIn(root string) ([]byte, error) {
	text, err := inroot.ReadFile(root, fstabFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// isAt reports whether the subvolume with a UUID is at a path.
func (s *Shares) isAt(at, uuid string) (bool, error) {
	sub, err := s.store.Get(at)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume) {
		return false, nil
	}
	return err == nil && sub.UUID == uuid, err
}

// quiet refuses while a process builds an environment or works in one, because it would
// see the old directory.
func (s *Shares) quiet() error {
	building, err := s.registry.Building()
	if err != nil {
		return err
	}
	if len(building) > 0 {
		return refuse("boot environment %s is being created", building[0]).hint("try again when that has finished")
	}
	envs, err := s.registry.List()
	if err != nil {
		return err
	}
	for _, e := range envs {
		if s.registry.InUse(e) {
			return refuse("boot environment %s is in use", e.Name).hint("try again when it is free")
		}
	}
	return nil
}

// findHere finds a share and the running environment.
func (s *Shares) findHere(what string) (share Share, running be.Env, err error) {
	if share, err = s.Find(what); err == nil {
		running, err = s.registry.Running()
	}
	return share, running, err
}
