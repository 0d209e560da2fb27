package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
)

// Boot gives an upgrade access to the machine's boot loader.
type Boot struct{ Activator *activation.Activator }

// CheckSpace checks that there is space where the loader reads kernels for one more
// environment with a kernel like origin's. The error is boot.ErrNoSpace.
func (b Boot) CheckSpace(origin be.Env) error {
	kernel, err := activation.KernelOf(origin)
	if err != nil {
		return nil // a root without a kernel needs no space
	}
	var need int64
	for _, file := range []string{kernel.Image, kernel.Initrd} {
		size, err := b.size(origin, file)
		if err != nil {
			return fmt.Errorf("cannot determine the space that a kernel needs: %w", err)
		}
		need += size
	}
	return b.Activator.Loader.CheckSpace(need + need/10)
}

// size returns the size of a file of an environment, in bytes.
func (b Boot) size(e be.Env, file string) (int64, error) {
	f, err := b.Activator.Files(e.Subvolume.Path + "/" + file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if file, ok := f.(*os.File); ok {
		info, err := file.Stat()
		if err != nil {
			return 0, err
		}
		return info.Size(), nil
	}
	return io.Copy(io.Discard, f)
}

// Try makes the next boot a trial of an environment. The caller must hold the
// registry's lock.
func (b Boot) Try(ctx context.Context, e be.Env, deadline time.Duration) error {
	o, err := Arming(ctx, be.Reboot, deadline)
	if err != nil {
		return err
	}
	_, err = b.Activator.Arm(e, o)
	return err
}

// Refresh writes the menu of the current environments. The caller must hold the
// registry's lock.
func (b Boot) Refresh() error { return b.Activator.Refresh() }
