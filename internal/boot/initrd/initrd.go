// Package initrd knows of initrds what a trial needs of them.
package initrd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// script ends a trial, in an initrd that can: hooks/initramfs has it.
const script = "scripts/local-premount/apt-be"

// EndsTrial says whether an initrd, named for this process, has the script that
// ends a trial before all else. run is for lsinitramfs(8), of which it returns
// the standard output.
func EndsTrial(ctx context.Context, run func(ctx context.Context, name string, args ...string) (string, error), file string) (bool, error) {
	// Programs do not see what is below this process's /proc/self.
	if inside, ok := strings.CutPrefix(file, "/proc/self/"); ok {
		file = fmt.Sprintf("/proc/%d/%s", os.Getpid(), inside)
	}
	list, err := run(ctx, "lsinitramfs", file)
	if err != nil {
		return false, fmt.Errorf("cannot look into %s: %w", filepath.Base(file), err)
	}
	return slices.Contains(strings.Split(list, "\n"), script), nil
}
