package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
)

// table is the root's fstab.
const table = "/etc/fstab"

// mountable makes a mount of each directory on which hooks of apt may mount what is
// not mounted by itself: what they unmount afterwards has to be there. What belongs
// there is not: it is the running system's.
func (a *assembler) mountable(spec *Spec) error {
	data, err := inroot.ReadFile(a.root, table)
	if err != nil {
		return nil // there is none, or it says nothing
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

// hidden says whether a directory is one that a sandbox has its own of, or in one.
func hidden(dir string) bool {
	return !filepath.IsAbs(dir) || dir == "/" || slices.ContainsFunc(ownDirs, func(own string) bool {
		return dir == own || strings.HasPrefix(dir, own+"/")
	})
}

// knownAt returns what says whether the fstab of the root at place, as it is by then,
// has a line for a directory.
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
