package setup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// Detect finds out how the machine boots, and changes nothing. For a machine that
// cannot be set up, the error wraps store.ErrUnsupported or one of [Unprepared]; the
// facts found so far are returned, too.
func Detect(h *Host) (Layout, error) {
	m := Layout{Firmware: BIOS}
	if _, err := os.Stat(filepath.Join(h.Sys, "firmware/efi")); err == nil {
		m.Firmware = UEFI
		m.SecureBoot = secureBoot(h)
	}
	root, err := h.mountAt("")
	if err != nil {
		return m, err
	}
	if root == nil || root.FSType != "btrfs" {
		kind := "not known"
		if root != nil {
			kind = root.FSType
		}
		return m, fmt.Errorf("%w: the root file system's type is %s", store.ErrUnsupported, kind)
	}
	m.Subvolume = strings.Trim(root.Root, "/")
	if m.FSUUID, m.Devices, err = fileSystem(h, root.Source); err != nil {
		return m, err
	}
	if m.Subvolume == "" {
		return m, ErrTopLevel
	}
	if m.Boot, err = h.describeMount("boot"); err != nil {
		return m, err
	}
	if m.ESP, err = findESP(h); err != nil {
		return m, err
	}
	if m.Loader, err = findLoader(h, m); err != nil {
		return m, err
	}
	if m.Loader == be.LoaderSystemdBoot {
		return m, checkSystemdBoot(h, m)
	}
	if m.Menu, err = h.describeMount("boot/grub"); err != nil {
		return m, err
	}
	if m.GRUB, err = findGRUB(h, m); err != nil {
		return m, err
	}
	return m, checkGRUB(h, m)
}

// fileSystem finds the btrfs of a device from the kernel's data (since Linux 3.14),
// with all devices of it.
func fileSystem(h *Host, source string) (uuid string, devices []Device, err error) {
	if real, err := filepath.EvalSymlinks(source); err == nil {
		source = real
	}
	members, err := filepath.Glob(filepath.Join(h.Sys, "fs/btrfs/*/devices", filepath.Base(source)))
	if err != nil || len(members) == 0 {
		return "", nil, errors.Join(err, fmt.Errorf("cannot find the file system on %s in sysfs", source))
	}
	dir := filepath.Dir(members[0])
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, fmt.Errorf("cannot find the devices of the root file system: %w", err)
	}
	for _, entry := range entries {
		devices = append(devices, Device{entry.Name(), kindOf(h, entry.Name())})
	}
	return filepath.Base(filepath.Dir(dir)), devices, nil
}

// kindOf returns the kind of a block device.
func kindOf(h *Host, name string) string {
	for _, kind := range []struct{ mark, name string }{
		{"dm", "mapper"}, {"md", "raid"}, {"loop", "loop"}, {"partition", "partition"},
	} {
		if _, err := os.Stat(filepath.Join(h.Sys, "class/block", name, kind.mark)); err == nil {
			return kind.name
		}
	}
	return "disk"
}

// disksOf returns the names of the disks below a block device.
func disksOf(h *Host, name string) []string {
	dir, err := filepath.EvalSymlinks(filepath.Join(h.Sys, "class/block", name))
	if err != nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		return []string{filepath.Base(filepath.Dir(dir))}
	}
	slaves, err := os.ReadDir(filepath.Join(dir, "slaves"))
	if err != nil || len(slaves) == 0 {
		return []string{name}
	}
	var disks []string
	for _, slave := range slaves {
		disks = append(disks, disksOf(h, slave.Name())...)
	}
	slices.Sort(disks)
	return slices.Compact(disks)
}

// describeMount returns the file system mounted at a directory of the running root, or
// nil.
func (h *Host) describeMount(dir string) (*Mount, error) {
	info, err := h.mountAt(dir)
	if err != nil || info == nil {
		return nil, err
	}
	return &Mount{
		Dir:       "/" + dir,
		Source:    info.Source,
		Type:      info.FSType,
		UUID:      h.uuidOf(info),
		Subvolume: strings.Trim(info.Root, "/"),
	}, nil
}

// uuidOf returns the UUID of a mounted file system from udev, or "".
func (h *Host) uuidOf(info *mountinfo.Info) string {
	if info.FSType == "btrfs" {
		uuid, _, err := fileSystem(h, info.Source)
		if err != nil {
			return ""
		}
		return uuid
	}
	device, err := filepath.EvalSymlinks(info.Source)
	if err != nil {
		device = info.Source
	}
	links, err := os.ReadDir(filepath.Join(h.Dev, "disk/by-uuid"))
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(links, func(link os.DirEntry) bool {
		target, err := filepath.EvalSymlinks(filepath.Join(h.Dev, "disk/by-uuid", link.Name()))
		return err == nil && filepath.Base(target) == filepath.Base(device)
	})
	if i < 0 {
		return ""
	}
	return links[i].Name()
}
