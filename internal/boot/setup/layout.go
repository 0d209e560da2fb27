package setup

// Firmware is the firmware that starts the boot loader.
type Firmware string

// The kinds of firmware.
const (
	BIOS Firmware = "bios"
	UEFI Firmware = "uefi"
)

// Layout is the result of Detect: how a machine boots.
type Layout struct {
	Firmware   Firmware `json:"firmware"`
	SecureBoot bool     `json:"secure_boot"`
	Loader     string   `json:"loader"` // be.LoaderGRUB or be.LoaderSystemdBoot

	FSUUID    string   `json:"fs_uuid"`   // of the root file system
	Subvolume string   `json:"subvolume"` // the subvolume of /, from the top level
	Devices   []Device `json:"devices"`   // of the root file system

	// Boot is the separate file system at /boot, nil if /boot is a directory of /.
	Boot *Mount `json:"boot,omitempty"`
	// Menu is the mount at /boot/grub, nil if it is a directory of /boot.
	Menu *Mount `json:"menu,omitempty"`
	// ESP is the EFI system partition, nil if none is mounted.
	ESP *Mount `json:"esp,omitempty"`

	GRUB *GRUB `json:"grub,omitempty"`
}

// Device is a block device of the root file system.
type Device struct {
	Name string `json:"name"` // the kernel's name, such as "vda2"
	// Kind is "partition", "disk", "mapper" (LVM, LUKS), "raid" or "loop".
	Kind string `json:"kind"`
}

// Mount is a file system that boot loaders read.
type Mount struct {
	Dir    string `json:"dir"`    // its mount point
	Source string `json:"source"` // the device
	Type   string `json:"type"`
	UUID   string `json:"uuid"`
	// Subvolume is the path of the mounted directory from the top level of that file
	// system, "" for the whole.
	Subvolume string `json:"subvolume,omitempty"`
}

// device returns a permanent name of the device.
func (m Mount) device() string {
	if m.UUID == "" {
		return m.Source
	}
	return "/dev/disk/by-uuid/" + m.UUID
}

// GRUB describes an installation of GRUB.
type GRUB struct {
	Target string `json:"target"` // of grub-install, such as "i386-pc"
	// Devices are the disks with GRUB in their boot sector (BIOS).
	Devices []string `json:"devices,omitempty"`
	// Removable reports that EFI/BOOT, which firmware boots without any boot entry, is
	// also GRUB; OnlyRemovable reports that no other directory is.
	Removable     bool `json:"removable,omitempty"`
	OnlyRemovable bool `json:"only_removable,omitempty"`
	// NoVariables reports that the firmware's boot entries must not change: they are
	// not accessible, or the administrator has said so to debconf.
	NoVariables bool `json:"no_variables,omitempty"`
	// Generators are the scripts in /etc/grub.d that add this system's own kernels to
	// the menu.
	Generators []string `json:"generators,omitempty"`
}

// prepared reports whether GRUB's menu is already in a place outside of the
// environments.
func (m Layout) prepared() bool { return m.Menu != nil }
