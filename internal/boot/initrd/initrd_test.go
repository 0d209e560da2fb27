package initrd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// lsinitramfs gets a file by its real path, because the compressors that it runs follow
// no links. Links in the environment cannot leave it.
func TestEndsTrial(t *testing.T) {
	root := t.TempDir()
	inside := filepath.Join(root, "srv/kernels")
	for _, err := range []error{
		os.MkdirAll(inside, 0o755),
		os.WriteFile(filepath.Join(inside, "initrd.img"), []byte("scripts\n"+script+"\n"), 0o644),
		os.WriteFile(filepath.Join(inside, "other.img"), []byte("scripts\n"), 0o644),
		os.Symlink("/srv/kernels", filepath.Join(root, "boot")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	list := func(_ context.Context, name string, args ...string) (string, error) {
		if name != "lsinitramfs" || len(args) != 1 {
			t.Errorf("ran %s %q", name, args)
		}
		if info, err := os.Lstat(args[0]); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v, %v", args[0], info, err)
		}
		data, err := os.ReadFile(args[0])
		return string(data), err
	}
	for file, want := range map[string]bool{"boot/initrd.img": true, "boot/other.img": false} {
		if got, err := EndsTrial(context.Background(), list, root, file); got != want || err != nil {
			t.Errorf("%s: %v, %v", file, got, err)
		}
	}
	if _, err := EndsTrial(context.Background(), list, root, "lost/initrd.img"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without its directory: %v", err)
	}
	broken := func(context.Context, string, ...string) (string, error) { return "", errors.New("no cpio") }
	if _, err := EndsTrial(context.Background(), broken, root, "boot/initrd.img"); err == nil || !strings.Contains(err.Error(), "boot/initrd.img: no cpio") {
		t.Errorf("of a list that fails: %v", err)
	}
	absent := func(_ context.Context, name string, _ ...string) (string, error) {
		return "", fmt.Errorf("%s: %w", name, &exec.Error{Name: name, Err: exec.ErrNotFound})
	}
	if ends, err := EndsTrial(context.Background(), absent, root, "boot/initrd.img"); ends || err != nil {
		t.Errorf("without initramfs-tools: %v, %v", ends, err)
	}
}
