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

// What follows the names of what a merge has put beside something else.
const (
	Aside  = merge.Aside       // what was there
	Beside = ".apt-be-running" // what the running system had, and is not to be there
)

// longestName is how long a name may be (NAME_MAX).
const longestName = 255

// BesidePath returns the path beside another one by which something is kept: the same
// with a suffix, and if that would be too long, the beginning of it with a checksum
// of the whole.
func BesidePath(name, suffix string) string {
	dir, base := path.Split(name)
	if len(base)+len(suffix) > longestName {
		sum := sha256.Sum256([]byte(base))
		mark := "~" + hex.EncodeToString(sum[:4])
		end := longestName - len(suffix) - len(mark)
		for back := 0; back < utf8.UTFMax-1 && !utf8.RuneStart(base[end]); back++ {
			end-- // not within a letter
		}
		base = base[:end] + mark
	}
	return dir + base + suffix
}

// asides is how many things of one name can be set aside, one after the other.
const asides = 100

// SetAside moves what is at a path beside it: nothing is no error. A file takes the
// place of one that was set aside before, but nothing takes that of a directory.
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

// CopyBeside puts what is at a path in From beside what is there.
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

// origin is where something comes from, and where it goes to.
type origin struct{ from, to string }
