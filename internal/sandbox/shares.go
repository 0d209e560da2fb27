package sandbox

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// transient are the file systems that hold no data of a root file system's
// own, or not any that a package could use.
var transient = map[string]bool{
	"autofs": true, "binfmt_misc": true, "bpf": true, "cgroup": true, "cgroup2": true,
	"configfs": true, "debugfs": true, "devpts": true, "devtmpfs": true, "efivarfs": true,
	"fusectl": true, "hugetlbfs": true, "mqueue": true, "nsfs": true, "proc": true,
	"pstore": true, "ramfs": true, "rpc_pipefs": true, "securityfs": true, "selinuxfs": true,
	"sysfs": true, "tracefs": true,
	"overlay": true, // containers' roots
}

// readOnly are the file systems that can't be written to in the first place.
var readOnly = map[string]bool{"iso9660": true, "udf": true, "squashfs": true, "erofs": true}

// caseless are the file systems that overlayfs does not take for a lower layer.
// Where boot loaders are they are copied, which is some megabytes; elsewhere
// they may hold anything, and are read-only.
var caseless = map[string]bool{"vfat": true, "msdos": true, "exfat": true, "ntfs": true, "ntfs3": true}

// forBooting are the places of the EFI system partition (bootctl(1)).
var forBooting = map[string]bool{"/boot": true, "/boot/efi": true, "/efi": true}

// FindShares returns the other file systems that are mounted in the running
// root, and files that are mounted over others, with a directory below scratch,
// from the top level of the store, for what is written to each. What is written
// to one in memory is not kept. exclude names places that need none.
func FindShares(scratch string, exclude ...string) ([]Share, error) {
	excluded := append([]string{"/proc", "/sys", "/dev", "/run", "/tmp"}, exclude...)
	mounts, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		if m.Mountpoint == "/" || transient[m.FSType] && !isFile(m.Mountpoint) {
			return true, false
		}
		if _, err := os.Stat(m.Mountpoint); errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOTCONN) {
			return true, false // a user's, by FUSE, or one whose server has died: not even root can look into it
		}
		for _, dir := range excluded {
			if m.Mountpoint == dir || strings.HasPrefix(m.Mountpoint, dir+"/") {
				return true, false
			}
		}
		return false, false
	})
	if err != nil {
		return nil, err
	}
	// The last of several mounts at one place hides the others.
	byTarget := map[string]Share{}
	for _, m := range mounts {
		share := Share{Target: m.Mountpoint, Copy: caseless[m.FSType], Type: m.FSType, Source: m.Source}
		if m.FSType == "btrfs" {
			share.Within = strings.Trim(m.Root, "/")
		}
		share.Volatile = m.FSType == "tmpfs" && !isFile(m.Mountpoint)
		frozen := share.Volatile || readOnly[m.FSType] || share.Copy && !forBooting[m.Mountpoint] || isFile(m.Mountpoint)
		if !frozen && scratch != "" {
			// By its place: mounts come and go between one run and the next.
			share.Scratch = filepath.Join(scratch, url.PathEscape(m.Mountpoint))
		}
		byTarget[m.Mountpoint] = share
	}
	shares := make([]Share, 0, len(byTarget))
	for _, share := range byTarget {
		shares = append(shares, share)
	}
	return shares, nil
}

// isFile tells a file that is mounted over another, as container managers do
// with resolv.conf, from a mounted file system.
func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}
