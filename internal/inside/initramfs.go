package inside

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// BuildInitramfs starts to build, once, each initramfs that update-initramfs was asked
// for while the frontend ran. It returns a function that waits for the end. An error
// means that the root cannot boot.
func (l *Launcher) BuildInitramfs(ctx context.Context, build *be.Build, speed aptconf.Speed, result sandbox.Result) (wait func() error) {
	if result.Killed && speed.OneInitramfs {
		// The list of tasks was lost with the sandbox, so an initramfs may be older
		// than its files.
		return func() error {
			return errors.New("the sandbox was killed, so the list of required initramfs builds is lost")
		}
	}
	notes := strings.TrimSpace(string(result.Collected[lateInitramfs]))
	if notes == "" {
		return func() error { return nil }
	}
	failed := make(chan error, 1)
	go func() { failed <- l.runInitramfs(ctx, build, speed, notes) }()
	return sync.OnceValue(func() error { return <-failed })
}

func (l *Launcher) runInitramfs(ctx context.Context, build *be.Build, speed aptconf.Speed, notes string) error {
	const command = sandbox.BinDir + "/build-initramfs"
	spec, err := l.Spec(RootOf(build), command, []string{command, notes})
	if err != nil {
		return fmt.Errorf("cannot build the initramfs: %w", err)
	}
	spec.NoSync = speed.NoSync
	// mkinitramfs(8) copies the files there first, and needs a file system without
	// noexec, such as this one.
	spec.Env = append(spec.Env, "TMPDIR=/tmp")
	process, err := sandbox.Start(spec, sandbox.Stdio{}, build.LockFile())
	if err != nil {
		return fmt.Errorf("cannot build the initramfs: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = process.Kill() })()
	result, err := process.Wait()
	if err == nil && ctx.Err() != nil {
		err = errors.New("killed by a signal")
	}
	if err != nil {
		return fmt.Errorf("cannot build the initramfs: %w", err)
	}
	if result.ExitCode != 0 || result.Signal != 0 {
		return fmt.Errorf("cannot build the initramfs: update-initramfs failed (exit status %d, signal %d)", result.ExitCode, result.Signal)
	}
	return nil
}
