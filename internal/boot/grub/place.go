package grub

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
)

// PlaceOf returns the place of a directory in this process's mount namespace.
func PlaceOf(ctx context.Context, dir string) (Place, error) {
	place, err := placeOf(ctx, dir)
	if err != nil {
		return Place{}, fmt.Errorf("cannot determine GRUB's name for %s: %w", dir, err)
	}
	return place, nil
}

func placeOf(ctx context.Context, dir string) (Place, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return Place{}, err
	}
	if _, err := os.ReadDir(real); err != nil { // triggers an automount
		return Place{}, err
	}
	mounts, err := mountinfo.GetMounts(mountinfo.ParentsFilter(real))
	if err != nil {
		return Place{}, err
	}
	var mount *mountinfo.Info
	for _, m := range mounts { // the last of the innermost mounts is on top
		if mount == nil || len(m.Mountpoint) >= len(mount.Mountpoint) {
			mount = m
		}
	}
	if mount == nil {
		return Place{}, fmt.Errorf("nothing is mounted there")
	}
	inside, err := filepath.Rel(mount.Mountpoint, real)
	if err != nil {
		return Place{}, err
	}
	uuid, err := uuidOf(ctx, mount.Source)
	if err != nil {
		return Place{}, err
	}
	return Place{
		Dir:    dir,
		FSType: mount.FSType,
		FSUUID: uuid,
		Name:   path.Join("/", mount.Root, inside),
		Plain:  isPlain(fmt.Sprintf("/sys/dev/block/%d:%d", mount.Major, mount.Minor)),
	}, nil
}

// uuidOf reads the device itself, because not every root has udev's links.
func uuidOf(ctx context.Context, device string) (string, error) {
	cmd := exec.CommandContext(ctx, "blkid", "--probe", "--match-tag", "UUID", "--output", "value", device)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot read the UUID of the file system on %s: %w", device, err)
	}
	return string(bytes.TrimSpace(out)), nil
}

// isPlain reports whether the block device at a path in sysfs is a disk or a partition
// that is not made of other devices.
func isPlain(device string) bool {
	dir, err := filepath.EvalSymlinks(device)
	if err != nil {
		return false // btrfs: its device numbers belong to no device
	}
	if _, err := os.Stat(filepath.Join(dir, "partition")); err == nil {
		dir = filepath.Dir(dir)
	}
	below, err := os.ReadDir(filepath.Join(dir, "slaves"))
	return err == nil && len(below) == 0
}
