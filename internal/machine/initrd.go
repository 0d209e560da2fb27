package machine

import (
	"context"
	"os/exec"
	"strings"

	"github.com/apt-be/apt-be/internal/boot/initrd"
	"github.com/apt-be/apt-be/internal/store"
)

// endsTrial looks into an initrd by its path from the top level.
func endsTrial(st store.Store) func(path string) (bool, error) {
	return func(path string) (bool, error) {
		// Not by a descriptor: the compressors read no links.
		return initrd.EndsTrial(context.Background(), output, st.Path(strings.TrimPrefix(path, "/")))
	}
}

// output runs a command.
func output(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	return string(out), err
}
