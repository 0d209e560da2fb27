package redirect

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/sandbox"
)

// hostEnv finds out where this process runs.
func hostEnv() Env {
	_, err := os.Lstat(sandbox.Marker)
	return Env{
		Root:      os.Geteuid() == 0,
		Inside:    err == nil,
		Bypass:    os.Getenv("APT_BE_BYPASS") == "1",
		Container: inContainer() || inChroot(),
		IsRoot:    isRoot,
	}
}

// isRoot tells whether a directory is "/", or has its packages: by any path, as
// through /proc, a link, a bind mount or another mount of the same subvolume.
func isRoot(dir string) bool {
	for _, place := range []string{"/", "/var/lib/dpkg", "/usr"} {
		own, err := os.Stat(place)
		if err != nil {
			continue
		}
		if other, err := os.Stat(filepath.Join(dir, place)); err == nil && os.SameFile(own, other) {
			return true
		}
	}
	return false
}

// OnMachine says whether "/" is the root of the machine that runs, and not that
// of a sandbox, a container or a chroot. Such a root may well be a subvolume of
// the machine's own file system, beside its boot environments: it is not one.
func OnMachine() bool {
	m := hostEnv()
	return !m.Inside && !m.Container
}

// inContainer says whether this is a container: by the marks that its manager
// makes, or by the environment that it gives to process 1 (systemd's container
// interface), which only root can read.
func inContainer() bool {
	for _, mark := range []string{"/run/systemd/container", "/run/.containerenv", "/.dockerenv"} {
		if _, err := os.Lstat(mark); err == nil {
			return true
		}
	}
	env, _ := os.ReadFile("/proc/1/environ")
	return bytes.HasPrefix(env, []byte("container=")) || bytes.Contains(env, []byte("\x00container="))
}

// inChroot says whether "/" is another directory than process 1 has for it. Each
// subvolume has a device number of its own, so a mount of the same one is the
// same. Where there is no /proc, it is a chroot that nobody has made ready; who
// may not look at process 1 is in a container of some kind, and is not told so
// by this.
func inChroot() bool {
	own, err := os.Stat("/")
	if err != nil {
		return true
	}
	first, err := os.Stat("/proc/1/root")
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	return err == nil && !os.SameFile(own, first)
}

// CheckWritable returns ErrReadOnly if nothing can be written to "/". It has to be
// asked before the store is opened, which makes its file system writable.
func CheckWritable() error {
	if err := unix.Access("/", unix.W_OK); errors.Is(err, unix.EROFS) {
		return ErrReadOnly
	}
	return nil
}
