package setup

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/boot/initrd"
	"github.com/apt-be/apt-be/internal/txn"
)

// InitrdReady says whether an initrd, named for this process, has the scripts
// that a trial needs.
func (h *Host) InitrdReady(ctx context.Context, file string) (bool, error) {
	return initrd.EndsTrial(ctx, h.Run, file)
}

// initramfs builds those initrds of the running system anew that can't try a
// boot environment.
func (i *Installer) initramfs(ctx context.Context, _ txn.Args) error {
	if !i.Host.hasCommand("update-initramfs") {
		return nil // whoever makes the initrds has no scripts of ours; doctor says so
	}
	files, err := filepath.Glob(i.Host.path("boot/initrd.img-*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		version := strings.TrimPrefix(filepath.Base(file), "initrd.img-")
		if !isFile(i.Host.path("boot/vmlinuz-" + version)) {
			continue // such as one that was put aside
		}
		if ready, err := i.Host.InitrdReady(ctx, file); err != nil || ready {
			if err != nil {
				return err
			}
			continue
		}
		if _, err := i.Host.Run(ctx, "update-initramfs", "-u", "-k", version); err != nil {
			return err
		}
	}
	return nil
}
