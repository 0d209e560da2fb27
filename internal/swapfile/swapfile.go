// Package swapfile handles files that the kernel swaps to (swapon(8)). A swap file
// belongs to the running system. A snapshot of it would share its blocks, which the
// kernel does not accept, and its content is worthless elsewhere. So another root gets
// its own swap file, with the same size and name.
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

// signature ends the first page of a swap area (mkswap(8), linux/swap.h). A swap area
// with a hibernated system has another signature.
const signature = "SWAPSPACE2"

// Active returns the active swap files, by their paths in this process's mount
// namespace.
func Active() ([]string, error) {
	f, err := os.Open("/proc/swaps")
	if err != nil {
		return nil, fmt.Errorf("cannot read the active swap files: %w", err)
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

// unescape reverses the escaping of names by seq_file (lib/seq_file.c, mangle_path).
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// most is the maximum number of names in a directory for swap files.
const most = 64

// In returns the names of the swap files directly in a directory, and whether the
// directory contains nothing else. For a missing directory it returns none: the owner
// of the directory above may have moved it.
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

var errNone = errors.New("not a swap file")

// header returns the first page of a swap file, which contains UUID and label, and the
// file's description.
func header(file string) ([]byte, os.FileInfo, error) {
	// An active swap file can be read like any other file.
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

// roots reports whether a file belongs to root, or to the user of this process. A file
// of another user only looks like a swap file, and may have any size.
func roots(info os.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return !ok || st.Uid == 0 || int(st.Uid) == os.Geteuid()
}

// Size returns the size of a swap file in bytes.
func Size(file string) (int64, error) {
	_, info, err := header(file)
	if err != nil {
		return 0, fmt.Errorf("cannot read the swap file %s: %w", filepath.Base(file), err)
	}
	return info.Size(), nil
}

// Like makes a swap file with the size, owner, mode, UUID and label of another one. An
// fstab may name it by UUID or label. On btrfs it sets NOCOW, without which swapon(2)
// fails.
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
	// NOCOW can only be set while the file is empty.
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
