package aptconf

import (
	"path"
	"strings"
)

// OtherRoot returns the directory in which dpkg is to work when that is not
// "/": from DPkg::Chroot-Directory, RootDir, which goes before it, or dpkg's
// option --root in DPkg::Options; item names the one of these that says so. Tools
// that build a root from the outside, such as mmdebstrap(1), configure apt so. Dir
// alone moves only apt's own files, and dpkg's --instdir only the files of
// packages: the running root would still be changed. So it would be if the
// directory is the running root by another name, which is not known here.
func (c Config) OtherRoot() (dir, item string, other bool) {
	rootDir, chroot := c.String("RootDir", ""), c.String("DPkg::Chroot-Directory", "")
	switch dir = path.Join("/", rootDir, chroot); {
	case dir == "/":
	case path.Join("/", chroot) == "/":
		return dir, "RootDir", true
	default:
		return dir, "DPkg::Chroot-Directory", true
	}
	next := false // the value of --root is an argument of its own
	for _, option := range c.List("DPkg::Options") {
		value, found := strings.CutPrefix(option, "--root=")
		if next {
			value, found = option, true
		}
		next = !next && option == "--root"
		if found {
			dir = path.Clean("/" + value) // the last one counts
		}
	}
	return dir, "DPkg::Options", dir != "/"
}
