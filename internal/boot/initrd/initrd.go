// Package initrd examines initrds for trials.
package initrd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/inroot"
)

// script ends a trial, in an initrd of hooks/initramfs.
const script = "scripts/local-premount/apt-be"

// EndsTrial reports whether an initrd has the script that ends a trial before other
// scripts run. file is its path in the root file system at root; links stay in that
// root. run runs lsinitramfs(8) and returns its standard output. lsinitramfs is part of
// initramfs-tools. Without it, other programs create initrds, such as dracut(8), and
// they have no such script.
func EndsTrial(ctx context.Context, run func(ctx context.Context, name string, args ...string) (string, error), root, file string) (bool, error) {
	dir, err := inroot.OpenDir(root, filepath.Dir(file))
	if err != nil {
		return false, fmt.Errorf("cannot look into %s: %w", file, err)
	}
	defer dir.Close()
	// The path has the file's name, because the compressors refuse links, such as those
	// of descriptors. /proc/self is another process for a program.
	list, err := run(ctx, "lsinitramfs", fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), dir.Fd(), filepath.Base(file)))
	if errors.Is(err, exec.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look into %s: %w", file, err)
	}
	return slices.Contains(strings.Split(list, "\n"), script), nil
}
