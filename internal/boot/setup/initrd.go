package setup

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/boot/initrd"
	"github.com/apt-be/apt-be/internal/txn"
)

// initramfs builds the initrds of the running system that cannot try a boot environment
// yet.
func (i *Installer) initramfs(ctx context.Context, _ txn.Args) error {
	if !i.Host.hasCommand("update-initramfs") {
		return nil // the program that creates the initrds has no scripts of apt-be; doctor reports it
	}
	files, err := filepath.Glob(i.Host.path("boot/initrd.img-*"))
	if err != nil {
		return err
	}
	for _, file := range files {
		version := strings.TrimPrefix(filepath.Base(file), "initrd.img-")
		if !isFile(i.Host.path("boot/vmlinuz-" + version)) {
			continue // for example a renamed backup
		}
		ready, err := initrd.EndsTrial(ctx, i.Host.Run, i.Host.Root, "boot/"+filepath.Base(file))
		if err != nil || ready {
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
