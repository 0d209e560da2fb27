package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/internal/boot/kernels"
	"github.com/apt-be/apt-be/internal/boot/sdboot"
	"github.com/apt-be/apt-be/internal/store"
)

// OpenLoader returns the loader that apt-be init recorded. root is the mount point of
// the running environment.
func OpenLoader(st store.Store, noted be.Boot, root string) (boot.Loader, error) {
	switch noted.Loader {
	case be.LoaderGRUB:
		return openGRUB(st, noted, root)
	case be.LoaderSystemdBoot:
		return sdboot.New(filepath.Join(root, noted.ESP)), nil
	}
	return nil, fmt.Errorf("cannot use the boot loader %q: it is unknown to this apt-be", noted.Loader)
}

// grubDir is the mount point of GRUB's directory.
const grubDir = "/boot/grub"

func openGRUB(st store.Store, noted be.Boot, root string) (*grub.Loader, error) {
	ctx := context.Background()
	loader := &grub.Loader{Dir: filepath.Join(root, grubDir)}
	var esp *grub.Place
	if noted.ESP != "" {
		place, err := grub.PlaceOf(ctx, filepath.Join(root, noted.ESP))
		if err == nil && place.FSType != "vfat" {
			err = fmt.Errorf("cannot use the EFI system partition: it is not mounted at %s", noted.ESP)
		}
		if err != nil {
			return nil, err
		}
		esp = &place
	}
	var menu grub.Place
	if noted.MenuInStore {
		uuid, ok := st.(interface{ FileSystemUUID() string })
		if !ok {
			return nil, fmt.Errorf("cannot find GRUB's menu: %w", store.ErrUnsupported)
		}
		loader.Dir = st.Path(be.GRUBDir)
		menu = grub.Place{Dir: loader.Dir, FSType: "btrfs", FSUUID: uuid.FileSystemUUID(), Name: "/" + be.GRUBDir}
	} else {
		// If its file system is not mounted, the directory below has no menu.
		if _, err := os.Stat(filepath.Join(loader.Dir, "grub.cfg")); err != nil {
			return nil, fmt.Errorf("cannot find GRUB's menu: %w", err)
		}
		var err error
		if menu, err = grub.PlaceOf(ctx, loader.Dir); err != nil {
			return nil, err
		}
	}
	loader.Env = grub.Locate(menu, esp)
	if noted.KernelDir != "" {
		loader.Kernels = &kernels.Store{Dir: filepath.Join(root, noted.KernelDir), Prefix: menu.Name}
		loader.KernelFSUUID = menu.FSUUID
	}
	return loader, nil
}
