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

// transient are the file systems that hold no data of a root file system, or none that
// a package could use.
var transient = map[string]bool{
	"autofs": true, "binfmt_misc": true, "bpf": true, "cgroup": true, "cgroup2": true,
	"configfs": true, "debugfs": true, "devpts": true, "devtmpfs": true, "efivarfs": true,
	"fusectl": true, "hugetlbfs": true, "mqueue": true, "nsfs": true, "proc": true,
	"pstore": true, "ramfs": true, "rpc_pipefs": true, "securityfs": true, "selinuxfs": true,
	"sysfs": true, "tracefs": true,
	"overlay": true, // roots of containers
}

// readOnly are the file systems that are never writable.
var readOnly = map[string]bool{"iso9660": true, "udf": true, "squashfs": true, "erofs": true}

// caseless are the file systems that overlayfs refuses as a lower layer. The few
// megabytes of boot loaders on them are copied; others may be large, and are read-only.
var caseless = map[string]bool{"vfat": true, "msdos": true, "exfat": true, "ntfs": true, "ntfs3": true}

// forBooting are the places of the EFI system partition (bootctl(1)).
var forBooting = map[string]bool{"/boot": true, "/boot/efi": true, "/efi": true}

// ownDirs are the directories that every sandbox has of its own.
var ownDirs = []string{"/proc", "/sys", "/dev", "/run", "/tmp"}

// ForeignMounts are the other file systems that are mounted in the running root.
type ForeignMounts struct {
	mounts       []other
	Unresponsive []UnresponsiveMount
}

type other struct {
	*mountinfo.Info
	file bool // a file that is mounted over another
}

// UnresponsiveMount is a mount that does not respond, for example because its server is
// gone or its program hangs (FUSE).
type UnresponsiveMount struct{ Dir, Type, Source string }

// FindForeignMounts finds the other file systems that are mounted in the running root,
// and files that are mounted over others. exclude names places to leave out. It waits
// some seconds for file systems that may ask a server, so do not call it while others
// wait for a lock.
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
			// An autofs is below the file system that it mounted.
			if !transient[m.FSType] {
				o.Unresponsive = append(o.Unresponsive, UnresponsiveMount{m.Mountpoint, m.FSType, m.Source})
			}
			continue
		}
		if transient[m.FSType] && !isFile(m.Mountpoint) {
			continue
		}
		if _, err := os.Stat(m.Mountpoint); errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENOTCONN) {
			continue // a user's FUSE file system, or one whose server has died: not even root can look into it
		}
		o.mounts = append(o.mounts, other{m, isFile(m.Mountpoint)})
	}
	return o, nil
}

// Show returns the mounts for a sandbox. Writes to each go to a directory below
// scratch, a path from the top level of the store. Writes to a file system in memory
// are not kept.
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
			// The name is the place, because mounts come and go between two runs.
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

// isFile reports whether a mount is a file over another, as container managers do with
// resolv.conf, and not a file system.
func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}
