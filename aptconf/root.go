package aptconf

import (
	"path"
	"strings"
)

// OtherRoot returns the directory in which dpkg is to work when that is not
// the running root: from DPkg::Chroot-Directory, RootDir, which goes before
// it, or dpkg's option --root in DPkg::Options. Tools that build a root from
// the outside, such as mmdebstrap(1), configure apt so. Dir alone moves only
// apt's own files, and dpkg's --instdir only the files of packages: the
// running root would still be changed.
func (c Config) OtherRoot() (dir string, other bool) {
	dir = path.Join("/", c.String("RootDir", ""), c.String("DPkg::Chroot-Directory", ""))
	if dir != "/" {
		return dir, true
	}
	for _, option := range c.List("DPkg::Options") {
		if value, found := strings.CutPrefix(option, "--root="); found {
			dir = path.Clean("/" + value) // the last one counts
		}
	}
	return dir, dir != "/"
}
