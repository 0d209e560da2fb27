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

// Boot is the data that apt-be init recorded about the machine, in @apt-be/boot.json.
// It does not contain the default, which only the boot loader knows.
type Boot struct {
	Schema int    `json:"schema"`
	Loader string `json:"loader"` // LoaderGRUB or LoaderSystemdBoot
	// Origin is the subvolume in which apt-be init ran. apt-be init --undo returns the
	// machine to it.
	Origin string `json:"origin"`
	// MenuInStore is true if /boot/grub is the subvolume GRUBDir.
	MenuInStore bool `json:"menu_in_store,omitempty"`
	// KernelDir is the mounted directory to which kernels are copied if the boot loader
	// cannot read them in the environments: /boot/grub or the ESP's mount point.
	KernelDir string `json:"kernel_dir,omitempty"`
	// ESP is the mount point of the EFI system partition; "" without one.
	ESP string `json:"esp,omitempty"`
}

// The supported boot loaders.
const (
	LoaderGRUB        = "grub"
	LoaderSystemdBoot = "systemd-boot"
)

// GRUBDir is the subvolume that all environments mount at /boot/grub.
const GRUBDir = "@grub"

const bootFile = HomeDir + "/boot.json"

// Boot returns the data that apt-be init recorded. It needs no lock. It returns
// ErrNotSetUp if apt-be init was not run, and an UnreadableError if the record cannot
// be read.
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
		return Boot{}, fmt.Errorf("cannot read the record of apt-be init: %w", r.UnreadableFile(path.Base(bootFile), err))
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
		err = fmt.Errorf("invalid schema %d", boot.Schema)
	}
	return boot, err
}

// SetBoot stores the data of apt-be init; nil deletes it. The caller holds the Lock.
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
