package share

import (
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/procs"
)

// Host is what shares need of the machine that runs. All paths are from the
// running root.
type Host interface {
	// Points returns what is mounted at each mount point: of a btrfs its path
	// from the top level.
	Points() (map[string]string, error)
	// Mount mounts what an entry says, from the device of the store.
	Mount(entry fstab.Entry) error
	// Unmount unmounts what is mounted at dir, if nobody uses it.
	Unmount(dir string) error
	// Users returns the processes that use files for which match is true.
	Users(match func(procs.File) bool) ([]procs.Process, error)
	// Binds returns where directories are mounted, by anybody, that are at or
	// below a path from the top level of the file system.
	Binds(dir string) ([]procs.Bind, error)
}

// NoHost is the machine of a root that does not run: nothing is mounted there.
type NoHost struct{}

// Points implements Machine.
func (NoHost) Points() (map[string]string, error) { return nil, nil }

// Mount implements Machine.
func (NoHost) Mount(fstab.Entry) error { return nil }

// Unmount implements Machine.
func (NoHost) Unmount(string) error { return nil }

// Users implements Machine.
func (NoHost) Users(func(procs.File) bool) ([]procs.Process, error) { return nil, nil }

// Binds implements Machine.
func (NoHost) Binds(string) ([]procs.Bind, error) { return nil, nil }

// RunningHost is this machine.
type RunningHost struct {
	Root   string // where the running root is mounted, "/" but for tests
	Device string // of the store
}

// Points implements Machine.
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

// inside is the path from the running root of what is in it.
func (l RunningHost) inside(file string) (string, bool) {
	rest, ok := strings.CutPrefix(file, strings.TrimSuffix(l.Root, "/"))
	return filepath.Clean("/" + rest), ok && (rest == "" || rest[0] == '/')
}

// Mount implements Machine.
func (l RunningHost) Mount(entry fstab.Entry) error {
	return mounts.MountBy(l.Device, entry.Type, entry.Options, filepath.Join(l.Root, entry.Dir))
}

// Unmount implements Machine.
func (l RunningHost) Unmount(dir string) error { return mounts.Unmount(filepath.Join(l.Root, dir)) }

// Users implements Machine.
func (l RunningHost) Users(match func(procs.File) bool) ([]procs.Process, error) {
	return procs.Find(func(f procs.File) bool {
		if inside, ok := l.inside(f.Path); ok {
			f.Path = inside
		}
		return match(f)
	})
}

// Binds implements Machine.
func (l RunningHost) Binds(dir string) ([]procs.Bind, error) { return procs.Binds(dir) }
