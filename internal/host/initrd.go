package host

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/initrd"
	"github.com/apt-be/apt-be/internal/store"
)

// looking is the maximum time for listing an initrd, which may contain anything: a
// large one takes seconds.
const looking = 2 * time.Minute

// endsTrial returns a function that looks into an initrd of an environment.
func endsTrial(st store.Store) func(e be.Env, file string) (bool, error) {
	return func(e be.Env, file string) (bool, error) {
		ctx, cancel := context.WithTimeout(context.Background(), looking)
		defer cancel()
		return initrd.EndsTrial(ctx, output, st.Path(e.Subvolume.Path), file)
	}
}

// output runs a command and returns its output.
func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	return out.String(), nil
}
