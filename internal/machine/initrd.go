package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/initrd"
)

// endsTrial looks into an initrd by its path from the top level.
func endsTrial(files boot.Files) func(path string) (bool, error) {
	return func(path string) (bool, error) {
		opened, err := files(path)
		if err != nil {
			return false, fmt.Errorf("cannot look into its initrd: %w", err)
		}
		defer opened.Close()
		file, ok := opened.(*os.File)
		if !ok {
			return false, fmt.Errorf("cannot look into its initrd: %s is in no file", path)
		}
		return initrd.EndsTrial(context.Background(), output, fmt.Sprintf("/proc/self/fd/%d", file.Fd()))
	}
}

// output runs a command.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out), err
}
