package setup

// Firmware is what starts the boot loader.
type Firmware string

// The kinds of firmware.
const (
	BIOS Firmware = "bios"
	UEFI Firmware = "uefi"
)

// Layout is what Detect finds out of a machine: how it boots.
type Layout struct {
	Firmware   Firmware `json:"firmware"`
	SecureBoot bool     `json:"secure_boot"`
	Loader     string   `json:"loader"` // be.LoaderGRUB or be.LoaderSystemdBoot

	FSUUID    string   `json:"fs_uuid"`   // of the root file system
	Subvolume string   `json:"subvolume"` // that is /, from the top level
	Devices   []Device `json:"devices"`   // of the root file system

	// Boot is the file system of its own at /boot, nil if that is in /.
	Boot *Mount `json:"boot,omitempty"`
	// Menu is what is mounted at /boot/grub, nil if it is a directory of /boot.
	Menu *Mount `json:"menu,omitempty"`
	// ESP is the EFI system partition, nil if none is mounted.
	ESP *Mount `json:"esp,omitempty"`

	GRUB *GRUB `json:"grub,omitempty"`
}

// Device is a block device of the root file system.
type Device struct {
	Name string `json:"name"` // of the kernel's, such as "vda2"
	// Kind is "partition", "disk", "mapper" (LVM, LUKS), "raid" or "loop".
	Kind string `json:"kind"`
}

// Mount is a file system that boot loaders read.
type Mount struct {
	Dir    string `json:"dir"`    // where it is mounted
	Source string `json:"source"` // the device
	Type   string `json:"type"`
	UUID   string `json:"uuid"`
	// Subvolume is the path from the top of that file system to what is
	// mounted, "" if that is the whole.
	Subvolume string `json:"subvolume,omitempty"`
}

// device is a name of the device that stays the same.
func (m Mount) device() string {
	if m.UUID == "" {
		return m.Source
	}
	return "/dev/disk/by-uuid/" + m.UUID
}

// GRUB is how GRUB is installed.
type GRUB struct {
	Target string `json:"target"` // of grub-install, such as "i386-pc"
	// Devices have GRUB in their boot sector (BIOS).
	Devices []string `json:"devices,omitempty"`
	// Removable says that EFI/BOOT, where firmware looks that forgot what it
	// was told, is GRUB as well; OnlyRemovable, that nothing else is.
	Removable     bool `json:"removable,omitempty"`
	OnlyRemovable bool `json:"only_removable,omitempty"`
	// NoVariables says that the firmware's list of what it can boot is left
	// alone: it can't be reached, or the admin has said so to debconf.
	NoVariables bool `json:"no_variables,omitempty"`
	// Generators are the scripts in /etc/grub.d that put this system's own
	// kernels into the menu.
	Generators []string `json:"generators,omitempty"`
}

// prepared says whether the place of GRUB's menu is already one that belongs
// to no environment.
func (m Layout) prepared() bool { return m.Menu != nil }
