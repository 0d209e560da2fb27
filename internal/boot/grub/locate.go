package grub

import (
	"path"
	"path/filepath"
)

// Place is a directory as Linux and as GRUB find it.
type Place struct {
	Dir    string // as mounted, absolute
	FSType string // of the file system, as in mountinfo: "ext4"
	FSUUID string // of the file system
	Name   string // from the top of the file system, as GRUB has it, such as "/@grub"
	Plain  bool   // the file system is on a partition or a disk itself, not on RAID, LVM or an encrypted one
}

// Where the environment block is on an EFI system partition.
const (
	espEnvParent = "EFI"
	espEnvDir    = "apt-be"
	espEnvName   = "grubenv"
)

// writes are the file systems on which GRUB finds a file's blocks and writes
// them. XFS is none of them: its log can be emptied only by freezing it.
var writes = map[string]bool{"ext2": true, "ext3": true, "ext4": true, "vfat": true}

// Locate chooses the place of the environment block: beside grub.cfg, whose
// directory is menu, if GRUB can write there; else on the EFI system partition
// that is mounted at esp (nil without one); else, if that is btrfs, beside
// grub.cfg for GRUB to read only; else nowhere.
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
