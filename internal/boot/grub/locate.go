package grub

import (
	"path"
	"path/filepath"
)

// Place is a directory with its names for Linux and for GRUB.
type Place struct {
	Dir    string // absolute, as mounted
	FSType string // of the file system, as in mountinfo: "ext4"
	FSUUID string // of the file system
	Name   string // the path from the top level of the file system, for GRUB, such as "/@grub"
	Plain  bool   // the file system is directly on a partition or disk, not on RAID, LVM or encryption
}

// The place of the environment block on an EFI system partition.
const (
	espEnvParent = "EFI"
	espEnvDir    = "apt-be"
	espEnvName   = "grubenv"
)

// writes are the file systems on which GRUB can find and write a file's blocks. XFS is
// not one: only freezing empties its log.
var writes = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "vfat": true}

// Locate chooses the place of the environment block: beside grub.cfg, whose directory
// is menu, if GRUB can write there; otherwise on the EFI system partition mounted at
// esp (nil without one); otherwise, on btrfs, beside grub.cfg as read-only; otherwise
// there is none.
func Locate(menu Place, esp *Place) Env {
	beside := Env{
		Path:   filepath.Join(menu.Dir, "apt-be.env"),
		FSUUID: menu.FSUUID,
		Name:   path.Join("/", menu.Name, "apt-be.env"),
	}
	switch {
	case writable(menu):
		beside.Kind = WritableEnv
		return beside
	case esp != nil && writable(*esp):
		return Env{
			Kind:   WritableEnv,
			Path:   filepath.Join(esp.Dir, espEnvParent, espEnvDir, espEnvName),
			FSUUID: esp.FSUUID,
			Name:   path.Join("/", esp.Name, espEnvParent, espEnvDir, espEnvName),
		}
	case menu.FSType == "btrfs":
		beside.Kind = ReadOnlyEnv
		return beside
	}
	return Env{}
}

func writable(p Place) bool { return writes[p.FSType] && p.Plain && p.FSUUID != "" }
