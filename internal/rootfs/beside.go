package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// Suffixes of files that a merge puts beside another one.
const (
	Aside  = merge.Aside       // the target's version
	Beside = ".apt-be-running" // the running system's version
)

// longestName is the maximum length of a name (NAME_MAX).
const longestName = 255

// BesidePath returns the path with a suffix. If the name would be too long, it returns
// the beginning of the name with a checksum of the whole name and the suffix.
func BesidePath(name, suffix string) string {
	dir, base := path.Split(name)
	if len(base)+len(suffix) > longestName {
		sum := sha256.Sum256([]byte(base))
		mark := "~" + hex.EncodeToString(sum[:4])
		end := longestName - len(suffix) - len(mark)
		for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(base[end]); back++ {
			end-- // do not cut a character
		}
		base = base[:end] + mark
	}
	return dir + base + suffix
}

// asides is the maximum number of files of one name that can be set aside.
const asides = 100

// SetAside renames a path to its Aside path. It returns nil if the path does not exist.
// A file replaces a file that was set aside before, but a directory is never replaced.
func (c *Changer) SetAside(name string) error {
	return c.clear("rename", name, func(dir int, name string) (err error) {
		for n := 1; n <= asides; n++ {
			suffix := Aside
			if n > 1 {
				suffix += fmt.Sprintf("-%d", n)
			}
			err = unix.Renameat(dir, name, dir, BesidePath(name, suffix))
			if !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.ENOTDIR) {
				break
			}
		}
		return err
	})
}

// CopyBeside copies a path of From beside the same path of To.
func (c *Changer) CopyBeside(name string, node merge.Node) error {
	dir, err := c.parent(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	beside := BesidePath(name, Beside)
	if err := c.makeWay(dir, beside); err != nil {
		return err
	}
	return c.put(dir, beside, func(temporary string) error {
		return c.make(dir, temporary, origin{name, beside}, node, node.Attributes)
	})
}

// origin is a path in From and a path in To.
type origin struct{ from, to string }
