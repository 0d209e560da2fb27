package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
)

// table is the path of the root's fstab.
const table = "/etc/fstab"

// mountable creates a mount at each directory on which hooks of apt mount a file system
// that is not mounted permanently: they must be able to unmount it afterwards. The file
// system itself stays with the running system.
func (a *assembler) mountable(spec *Spec) error {
	data, err := inroot.ReadFile(a.root, table)
	if err != nil {
		return nil // there is no file, or it is empty
	}
	for _, e := range fstab.Entries(data) {
		shared := slices.ContainsFunc(spec.ForeignMounts, func(s ForeignMount) bool { return s.Target == e.Dir })
		if shared || hidden(e.Dir) || !slices.Contains(strings.Split(e.Options, ","), "noauto") {
			continue
		}
		f, place, err := a.at(e.Dir)
		if err != nil {
			continue
		}
		_ = a.bind(place, e.Dir, false)
		f.Close()
	}
	return nil
}

// hidden reports whether a directory is one of the sandbox's own, or in one.
func hidden(dir string) bool {
	return !filepath.IsAbs(dir) || dir == "/" || slices.ContainsFunc(ownDirs, func(own string) bool {
		return dir == own || strings.HasPrefix(dir, own+"/")
	})
}

// knownAt returns a function that reports whether the fstab of the root at place has a
// line for a directory at the time of the call.
func knownAt(place string) func(dir string) bool {
	return func(dir string) bool {
		root, err := os.OpenRoot(place)
		if err != nil {
			return false
		}
		defer root.Close()
		data, err := readRegular(root, inside(table), 0, collectLimit)
		return err == nil && slices.ContainsFunc(fstab.Entries(data), func(e fstab.Entry) bool {
			return e.Dir == filepath.Clean(dir) && !hidden(e.Dir)
		})
	}
}
