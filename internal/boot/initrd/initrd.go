// Package initrd knows of initrds what a trial needs of them.
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

// script ends a trial, in an initrd that can: hooks/initramfs has it.
const script = "scripts/local-premount/apt-be"

// EndsTrial says whether an initrd has the script that ends a trial before all
// else. file is its path in the root file system at root, whose links do not
// lead out of that. run is for lsinitramfs(8), of which it returns the standard
// output. That comes with initramfs-tools; where it is not installed, initrds
// are made by something else, such as dracut(8), and have no such script.
func EndsTrial(ctx context.Context, run func(ctx context.Context, name string, args ...string) (string, error), root, file string) (bool, error) {
	dir, err := inroot.OpenDir(root, filepath.Dir(file))
	if err != nil {
		return false, fmt.Errorf("cannot look into %s: %w", file, err)
	}
	defer dir.Close()
	// By its name, as the compressors read no links, which a descriptor's is.
	// What is below /proc/self is another process's for a program.
	list, err := run(ctx, "lsinitramfs", fmt.Sprintf("/proc/%d/fd/%d/%s", os.Getpid(), dir.Fd(), filepath.Base(file)))
	if errors.Is(err, exec.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cannot look into %s: %w", file, err)
	}
	return slices.Contains(strings.Split(list, "\n"), script), nil
}
