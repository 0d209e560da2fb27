package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

// initrdScript ends a trial, in an initrd that can.
const initrdScript = "scripts/local-premount/apt-be"

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
	return slices.Contains(strings.Split(list, "\n"), initrdScript), nil
}

// endsTrial is EndsTrial for an initrd by its path from the top level.
func endsTrial(files boot.Files) func(initrd string) (bool, error) {
	return func(initrd string) (bool, error) {
		opened, err := files(initrd)
		if err != nil {
			return false, fmt.Errorf("cannot look into its initrd: %w", err)
		}
		defer opened.Close()
		file, ok := opened.(*os.File)
		if !ok {
			return false, fmt.Errorf("cannot look into its initrd: %s is in no file", initrd)
		}
		return EndsTrial(context.Background(), output, fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	}
}

// output runs a command.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out), err
}
