package host

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Facts returns the facts about this process and its root.
func Facts() frontend.Env {
	_, err := os.Lstat(sandbox.Marker)
	return frontend.Env{
		Root:      os.Geteuid() == 0,
		Inside:    err == nil,
		Bypass:    os.Getenv("APT_BE_BYPASS") == "1",
		Container: inContainer() || inChroot(),
		IsRoot:    IsRoot,
	}
}

// IsRoot reports whether a directory is "/", or has the same packages, by any path:
// through /proc, a link, a bind mount, or another mount of the same subvolume.
func IsRoot(dir string) bool {
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

// OnMachine reports whether "/" is the root of the host, not the root of a sandbox, a
// container or a chroot. A chroot's root may be a subvolume of the host's file system,
// beside the boot environments, without being one.
func OnMachine() bool {
	m := Facts()
	return !m.Inside && !m.Container
}

// inContainer reports whether this process is in a container, by the marks of container
// managers, or by the environment of process 1 (systemd's container interface), which
// only root can read.
func inContainer() bool {
	for _, mark := range []string{"/run/systemd/container", "/run/.containerenv", "/.dockerenv"} {
		if _, err := os.Lstat(mark); err == nil {
			return true
		}
	}
	env, _ := os.ReadFile("/proc/1/environ")
	return bytes.HasPrefix(env, []byte("container=")) || bytes.Contains(env, []byte("\x00container="))
}

// inChroot reports whether "/" differs from the root of process 1. Each subvolume has
// its own device number, so mounts of one subvolume compare as equal. Without /proc the
// answer is yes: it is an incomplete chroot. If this process may not look at process 1,
// it is in some container, and the answer is no.
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

// ErrReadOnly reports that the root file system is mounted read-only.
var ErrReadOnly = errors.New("the root file system is read-only")

// CheckWritable returns ErrReadOnly if "/" is mounted read-only. Call it before opening
// the store, because opening makes the file system writable.
func CheckWritable() error {
	if err := unix.Access("/", unix.W_OK); errors.Is(err, unix.EROFS) {
		return ErrReadOnly
	}
	return nil
}
