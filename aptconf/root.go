package aptconf

import (
	"path"
	"strings"
)

// OtherRoot returns the directory in which dpkg will work if it is not "/": from
// DPkg::Chroot-Directory, from RootDir, which has priority, or from dpkg's option
// --root in DPkg::Options. item is the name of the item. Tools that build a root from
// outside, such as mmdebstrap(1), configure apt in this way. Dir alone moves only apt's
// own files, and dpkg's --instdir only packages' files, so the running root would still
// change. The directory may be the running root under another name, which this function
// does not check.
func (c Config) OtherRoot() (dir, item string, other bool) {
	rootDir, chroot := c.String("RootDir", ""), c.String("DPkg::Chroot-Directory", "")
	switch dir = path.Join("/", rootDir, chroot); {
	case dir == "/":
	case path.Join("/", chroot) == "/":
		return dir, "RootDir", true
	default:
		return dir, "DPkg::Chroot-Directory", true
	}
	next := false // the value of --root is a separate argument
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
