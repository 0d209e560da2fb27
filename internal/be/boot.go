package be

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// BootSchema is the version of Boot's format that this program writes.
const BootSchema = 1

// Boot is what apt-be init noted of a machine, in @apt-be/boot.json. What
// boots next is not in it: only the loader knows.
type Boot struct {
	Schema int    `json:"schema"`
	Loader string `json:"loader"` // LoaderGRUB or LoaderSystemdBoot
	// Origin is the subvolume in which apt-be init was run: its undo takes the
	// machine back there.
	Origin string `json:"origin"`
	// MenuInStore says that /boot/grub is the subvolume GRUBDir.
	MenuInStore bool `json:"menu_in_store,omitempty"`
	// KernelDir is where kernels are copied to for a loader that does not
	// read them in the environments, as mounted: /boot/grub or the ESP's place.
	KernelDir string `json:"kernel_dir,omitempty"`
	// ESP is where the EFI system partition is mounted; "" without one.
	ESP string `json:"esp,omitempty"`
}

// The loaders that there are.
const (
	LoaderGRUB        = "grub"
	LoaderSystemdBoot = "systemd-boot"
)

// GRUBDir is the subvolume that is /boot/grub in all environments.
const GRUBDir = "@grub"

const bootFile = HomeDir + "/boot.json"

// Boot returns what apt-be init noted, or an ErrNotSetUp.
func (r *Registry) Boot() (Boot, error) {
	data, err := regular.ReadFile(r.store.Path(bootFile), regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return Boot{}, ErrNotSetUp
	}
	var boot Boot
	if err == nil {
		boot, err = parseBoot(data)
	}
	if err != nil {
		return Boot{}, fmt.Errorf("cannot read what apt-be init noted: %w", r.UnreadableFile(path.Base(bootFile), err))
	}
	return boot, nil
}

func parseBoot(data []byte) (Boot, error) {
	var boot Boot
	var head struct {
		Schema int `json:"schema"`
	}
	err := json.Unmarshal(data, &head)
	if err == nil && head.Schema > BootSchema {
		return boot, fmt.Errorf("schema %d is %w", head.Schema, ErrNewerSchema)
	}
	if err == nil {
		err = json.Unmarshal(data, &boot)
	}
	if err == nil && boot.Schema < 1 {
		err = fmt.Errorf("its schema is %d, which means nothing", boot.Schema)
	}
	return boot, err
}

// SetBoot keeps what apt-be init notes; nil forgets it. The caller holds the
// Lock.
func (r *Registry) SetBoot(boot *Boot) error {
	if boot == nil {
		return durable.Remove(r.store.Path(bootFile))
	}
	data, err := json.MarshalIndent(boot, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(r.store.Path(bootFile), append(data, '\n'), 0o644)
}
