// Package swapfile knows files that the kernel swaps to (swapon(8)). Such a file
// belongs to the system that runs: a snapshot of it shares its blocks, with which
// the kernel takes neither, and there is nothing in it that anybody misses. So
// another root gets one of its own, of the same size and by the same name.
package swapfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// signature ends the first page of a swap area (mkswap(8), linux/swap.h). That of
// one that holds a hibernated system is another.
const signature = "SWAPSPACE2"

// Active returns the files that the kernel swaps to, of this process's name space.
func Active() ([]string, error) {
	f, err := os.Open("/proc/swaps")
	if err != nil {
		return nil, fmt.Errorf("cannot see what the kernel swaps to: %w", err)
	}
	defer f.Close()
	return parse(f)
}

// parse reads /proc/swaps (proc(5)).
func parse(table io.Reader) ([]string, error) {
	var files []string
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) > 1 && fields[1] == "file" {
			files = append(files, unescape.Replace(fields[0]))
		}
	}
	return files, lines.Err()
}

// unescape takes back what seq_file does to names (lib/seq_file.c, mangle_path).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// most is how many names a directory for swap files may have.
const most = 64

// In returns the names of the swap files directly in a directory, and whether
// there is nothing else in it. Where no directory is there are none: whoever owns the
// one above may have moved it.
func In(dir string) (names []string, only bool, err error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	entries, err := f.Readdirnames(most)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	only = len(entries) < most
	for _, name := range entries {
		if _, _, err := header(filepath.Join(dir, name)); err != nil {
			only = false
			continue
		}
		names = append(names, name)
	}
	return names, only, nil
}

var errNone = errors.New("it is no swap file")

// header returns the first page of a swap file, in which its UUID and its label
// are, and what the file is like.
func header(file string) ([]byte, os.FileInfo, error) {
	// An active one can be read as any other.
	f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err == nil && !(info.Mode().IsRegular() && roots(info)) {
		err = errNone
	}
	if err != nil {
		return nil, nil, err
	}
	page := make([]byte, os.Getpagesize())
	if _, err := io.ReadFull(f, page); err != nil || string(page[len(page)-len(signature):]) != signature {
		return nil, nil, errNone
	}
	return page, info, nil
}

// roots says whether a file belongs to root, or to whom this process does: what another
// user made only looks like a swap file, and may be of any size.
func roots(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid()
}

// Size is that of a swap file.
func Size(file string) (int64, error) {
	_, info, err := header(file)
	if err != nil {
		return 0, fmt.Errorf("cannot read the swap file %s: %w", filepath.Base(file), err)
	}
	return info.Size(), nil
}

// Like makes a swap file that is like another one: by size, owner and mode, and by
// the UUID and the label by which an fstab may name it. On btrfs its blocks are
// written in place, without which it could not be used.
func Like(file, fresh string) error {
	if err := like(file, fresh); err != nil {
		return fmt.Errorf("cannot make a swap file like %s: %w", filepath.Base(file), err)
	}
	return nil
}

func like(file, fresh string) error {
	page, info, err := header(file)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(fill(f, page, info), f.Close())
	if err != nil {
		os.Remove(fresh)
	}
	return err
}

func fill(f *os.File, page []byte, like os.FileInfo) error {
	// Before there is anything in it.
	if err := writeInPlace(f); err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, like.Size()); err != nil {
		return os.NewSyscallError("fallocate", err)
	}
	if _, err := f.WriteAt(page, 0); err != nil {
		return err
	}
	if st, ok := like.Sys().(*syscall.Stat_t); ok {
		if err := f.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	return f.Chmod(like.Mode().Perm())
}

// FS_NOCOW_FL and FS_COMPR_FL of linux/fs.h.
const (
	noCopyOnWrite = 0x00800000
	compressed    = 0x00000004
)

// writeInPlace gives an empty file the attribute C (chattr(1)).
func writeInPlace(f *os.File) error {
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^compressed|noCopyOnWrite))
	}
	return err
}
