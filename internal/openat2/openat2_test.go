package openat2_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/openat2"
)

const name, depth = "a name of 20 letters", 400

// descend makes nested directories with a path of 8,400 bytes.
func descend(t *testing.T) (top *os.File) {
	t.Helper()
	top, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { top.Close() })
	at := int(top.Fd())
	for range depth {
		if err := unix.Mkdirat(at, name, 0o755); err != nil {
			t.Fatal(err)
		}
		next, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		if at != int(top.Fd()) {
			unix.Close(at)
		}
		at = next
	}
	if err := unix.Symlinkat("/", at, "link"); err != nil {
		t.Fatal(err)
	}
	unix.Close(at)
	return top
}

func TestOpenBeyondPathMax(t *testing.T) {
	top := descend(t)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS}
	bottom := strings.TrimSuffix(strings.Repeat(name+"/", depth), "/")
	for path, want := range map[string]error{
		bottom:                                   nil,
		bottom + "/none":                         unix.ENOENT,
		bottom + "/link/etc":                     unix.ELOOP,
		bottom + "/../" + name:                   nil,
		bottom + "/" + strings.Repeat("n", 5000): unix.ENAMETOOLONG,
		strings.Repeat("n", 5000):                unix.ENAMETOOLONG,
	} {
		before := descriptors(t)
		fd, err := openat2.Open(int(top.Fd()), path, how)
		if fd >= 0 && err == nil {
			unix.Close(fd)
		}
		if want == nil && err != nil || want != nil && !errors.Is(err, want) {
			t.Errorf("…%.40s: %v, want %v", path[max(0, len(path)-40):], err, want)
		}
		if after := descriptors(t); after != before {
			t.Errorf("…%.40s: %d descriptors are left", path[max(0, len(path)-40):], after-before)
		}
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}
