package rootfs

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
)

// stamp identifies a state of a path: every change of a file changes its change time.
type stamp struct {
	inode   uint64
	kind    uint32
	changed unix.Timespec
}

func (s stamp) nodeKind() merge.Kind {
	switch s.kind {
	case unix.S_IFREG:
		return merge.Regular
	case unix.S_IFDIR:
		return merge.Directory
	case unix.S_IFLNK:
		return merge.Symlink
	}
	return merge.Special
}

// scan returns the stamps of all paths of a tree; the root is ".".
func (r *Root) scan() (map[string]stamp, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(r.dir.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: r.dir.Name(), Err: err}
	}
	found := map[string]stamp{".": stampOf(&st)}
	return found, r.scanBelow(".", found)
}

func stampOf(st *unix.Stat_t) stamp {
	return stamp{inode: st.Ino, kind: st.Mode & unix.S_IFMT, changed: st.Ctim}
}

// scanBelow records the stamps of a directory's content. It skips files that were
// deleted meanwhile.
func (r *Root) scanBelow(dir string, found map[string]stamp) error {
	f, err := r.open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	directories, err := r.stampEntries(f, dir, found)
	f.Close()
	if err != nil {
		return err
	}
	for _, name := range directories {
		if err := r.scanBelow(name, found); err != nil {
			return err
		}
	}
	return nil
}

// stampEntries records the stamps of an open directory's content, and returns its
// subdirectories on the same file system.
func (r *Root) stampEntries(f *os.File, dir string, found map[string]stamp) (directories []string, err error) {
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		var st unix.Stat_t
		err := unix.Fstatat(int(f.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if gone(err) {
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "stat", Path: path.Join(f.Name(), name), Err: err}
		}
		full := path.Join(dir, name)
		found[full] = stampOf(&st)
		if st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Dev == r.device {
			directories = append(directories, full)
		}
	}
	return directories, nil
}

// Fingerprint returns a fingerprint of a tree's state. It changes if anything in the
// tree is changed, created, renamed or deleted. A copy has a different fingerprint.
func (r *Root) Fingerprint() (string, error) {
	found, err := r.scan()
	if err != nil {
		return "", err
	}
	return fingerprint(found), nil
}

// fingerprint excludes the root, because renaming the root changes its stamp.
func fingerprint(found map[string]stamp) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if name != "." {
			s := found[name]
			fmt.Fprintf(sum, "%q %d %d %d.%09d\n", name, s.inode, s.kind, s.changed.Sec, s.changed.Nsec)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}
