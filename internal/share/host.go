package share

import (
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/procs"
)

// Host is the interface of the running machine for shares. All paths are relative to
// the running root.
type Host interface {
	// Points returns the source of each mount point; for a btrfs, the path from its top
	// level.
	Points() (map[string]string, error)
	// Mount mounts an fstab entry from the store's device.
	Mount(entry fstab.Entry) error
	// Unmount unmounts dir. It fails if the mount is in use.
	Unmount(dir string) error
	// Users returns the processes that use files for which match returns true.
	Users(match func(procs.File) bool) ([]procs.Process, error)
	// Binds returns the mounts, in any mount namespace, of directories at or below a
	// path from the top level.
	Binds(dir string) ([]procs.Bind, error)
}

// NoHost is the Host of a root that does not run: nothing is mounted.
type NoHost struct{}

// Points implements Host.
func (NoHost) Points() (map[string]string, error) { return nil, nil }

// Mount implements Host.
func (NoHost) Mount(fstab.Entry) error { return nil }

// Unmount implements Host.
func (NoHost) Unmount(string) error { return nil }

// Users implements Host.
func (NoHost) Users(func(procs.File) bool) ([]procs.Process, error) { return nil, nil }

// Binds implements Host.
func (NoHost) Binds(string) ([]procs.Bind, error) { return nil, nil }

// RunningHost is the Host of this machine.
type RunningHost struct {
	Root   string // the mount point of the running root, "/" except in tests
	Device string // the store's device
}

// Points implements Host.
func (l RunningHost) Points() (map[string]string, error) {
	all, err := mounts.Points()
	points := map[string]string{}
	for dir, what := range all {
		if inside, ok := l.inside(dir); ok {
			points[inside] = what
		}
	}
	return points, err
}

// inside returns the path relative to the running root.
func (l RunningHost) inside(file string) (string, bool) {
	rest, ok := strings.CutPrefix(file, strings.TrimSuffix(l.Root, "/"))
	return filepath.Clean("/" + rest), ok && (rest == "" || rest[0] == '/')
}

// Mount implements Host.
func (l RunningHost) Mount(entry fstab.Entry) error {
	return mounts.MountBy(l.Device, entry.Type, entry.Options, filepath.Join(l.Root, entry.Dir))
}

// Unmount implements Host.
func (l RunningHost) Unmount(dir string) error { return mounts.Unmount(filepath.Join(l.Root, dir)) }

// Users implements Host.
func (l RunningHost) Users(match func(procs.File) bool) ([]procs.Process, error) {
	return procs.Find(func(f procs.File) bool {
		if inside, ok := l.inside(f.Path); ok {
			f.Path = inside
		}
		return match(f)
	})
}

// Binds implements Host.
func (l RunningHost) Binds(dir string) ([]procs.Bind, error) { return procs.Binds(dir) }
