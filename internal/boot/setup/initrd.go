package setup

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/txn"
)

// initrdScript is in an initrd that can try a boot environment.
const initrdScript = "scripts/local-premount/apt-be"

// InitrdReady says whether an initrd, named for this process, has the scripts
// that a trial needs.
func (h *Host) InitrdReady(ctx context.Context, file string) (bool, error) {
	// Programs do not see what is below this process's /proc/self.
	if inside, ok := strings.CutPrefix(file, "/proc/self/"); ok {
		file = fmt.Sprintf("/proc/%d/%s", os.Getpid(), inside)
	}
	list, err := h.Run(ctx, "lsinitramfs", file)
	if err != nil {
		return false, fmt.Errorf("cannot look into %s: %w", filepath.Base(file), err)
	}
	return slices.Contains(strings.Split(list, "\n"), initrdScript), nil
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
