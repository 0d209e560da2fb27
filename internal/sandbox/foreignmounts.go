package sandbox

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
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

// ownDirs are the directories that a sandbox has its own of.
var ownDirs = []string{"/proc", "/sys", "/dev", "/run", "/tmp"}

// ForeignMounts are the other file systems that are mounted in the running root.
type ForeignMounts struct {
	mounts       []other
	Unresponsive []UnresponsiveMount
}

type other struct {
	*mountinfo.Info
	file bool // mounted over another
}

// UnresponsiveMount is a mount that does not respond: one of a server that is gone, or of a
// program that hangs (FUSE).
type UnresponsiveMount struct{ Dir, Type, Source string }

// FindForeignMounts finds the other file systems that are mounted in the running root, and
// files that are mounted over others. exclude names places that are left out. It
// waits some seconds for those that may have to ask somebody, so it is not called
// while others wait for a lock.
func FindForeignMounts(exclude ...string) (ForeignMounts, error) {
	excluded := slices.Concat(ownDirs, exclude)
	all, err := mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		return m.Mountpoint == "/" || slices.ContainsFunc(excluded, func(dir string) bool {
			return m.Mountpoint == dir || strings.HasPrefix(m.Mountpoint, dir+"/")
		}), false
	})
	if err != nil {
		return ForeignMounts{}, err
	}
	var o ForeignMounts
	silent := unresponsiveAmong(all)
	for _, m := range all {
		if slices.Contains(silent, m.Mountpoint) {
			// autofs is below what it has mounted.
			if !transient[m.FSType] {
				o.Unresponsive = append(o.Unresponsive, UnresponsiveMount{m.Mountpoint, m.FSType, m.Source})
			}
			continue
		}
		if transient[m.FSType] && !isFile(m.Mountpoint) {
			continue
		}
		if _, err := os.Stat(m.Mountpoint); errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOTCONN) {
			continue // a user's, by FUSE, or one whose server has died: not even root can look into it
		}
		o.mounts = append(o.mounts, other{m, isFile(m.Mountpoint)})
	}
	return o, nil
}

// Show shows them in a sandbox, with a directory below scratch, from the top level
// of the store, for what is written to each. What is written to one in memory is not
// kept.
func (o ForeignMounts) Show(scratch string) []ForeignMount {
	// The last of several mounts at one place hides the others.
	byTarget := map[string]ForeignMount{}
	for _, m := range o.mounts {
		share := ForeignMount{Target: m.Mountpoint, Copy: caseless[m.FSType], Type: m.FSType, Source: m.Source}
		if m.FSType == "btrfs" {
			share.Within = strings.Trim(m.Root, "/")
		}
		share.Volatile = m.FSType == "tmpfs" && !m.file
		frozen := share.Volatile || readOnly[m.FSType] || share.Copy && !forBooting[m.Mountpoint] || m.file
		if !frozen && scratch != "" {
			// By its place: mounts come and go between one run and the next.
			share.Scratch = filepath.Join(scratch, url.PathEscape(m.Mountpoint))
		}
		byTarget[m.Mountpoint] = share
	}
	shares := make([]ForeignMount, 0, len(byTarget))
	for _, share := range byTarget {
		shares = append(shares, share)
	}
	return shares
}

// isFile tells a file that is mounted over another, as container managers do
// with resolv.conf, from a mounted file system.
func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}
