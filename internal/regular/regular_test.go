package regular_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/regular"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, []byte("four"), 0o600))
	data, err := regular.ReadFile(path, 4)
	if err != nil || string(data) != "four" {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
	_, err = regular.ReadFile(path, 3)
	if !errors.Is(err, regular.ErrSize) || !strings.Contains(err.Error(), path) {
		t.Errorf("ReadFile of a larger one = %v", err)
	}
	_, err = regular.ReadFile(path+"-gone", 3)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadFile of nothing = %v", err)
	}
	// The size is larger than any memory.
	check(t, os.Truncate(path, 1<<42))
	if _, err := regular.ReadFile(path, 1<<10); !errors.Is(err, regular.ErrSize) {
		t.Errorf("ReadFile of 4 TiB = %v", err)
	}
}

// Open returns an error for a special file, and does not wait for it.
func TestOpenRefusesSpecialFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	check(t, unix.Mkfifo(at("FIFO"), 0o600))
	check(t, os.Mkdir(at("directory"), 0o700))
	check(t, os.WriteFile(at("file"), nil, 0o600))
	check(t, os.Symlink("file", at("symbolic link")))
	socket, err := net.Listen("unix", at("socket"))
	check(t, err)
	defer socket.Close()
	for _, name := range []string{"FIFO", "directory", "symbolic link", "socket"} {
		for _, flags := range []int{os.O_RDONLY, os.O_RDWR, os.O_WRONLY} {
			_, err := regular.Open(at(name), flags)
			if !errors.Is(err, regular.ErrKind) || !strings.Contains(err.Error(), "a "+name) || !strings.Contains(err.Error(), at(name)) {
				t.Errorf("Open of a %s = %v", name, err)
			}
			if got := regular.Reason(err).Error(); got != "not a regular file but a "+name {
				t.Errorf("Reason = %q", got)
			}
		}
	}
	if _, err := regular.ReadFile("/dev/zero", 10); !errors.Is(err, regular.ErrKind) {
		t.Errorf("ReadFile of a device = %v", err)
	}
}
