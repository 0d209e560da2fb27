package mounts

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// table is proc_pid_mountinfo(5) of a machine with two btrfs file systems.
const table = `22 1 0:21 /@rootfs / rw,relatime shared:1 - btrfs /dev/sda2 rw,subvolid=256,subvol=/@rootfs
40 22 0:21 /@be/new /run/apt-be/mnt/new rw,noatime - btrfs /dev/sda2 rw,subvolid=260,subvol=/@be/new
41 22 0:21 /@be/new /mnt/a\040b rw,noatime - btrfs /dev/sda2 rw,subvolid=260,subvol=/@be/new
42 22 0:21 /@be/newer /mnt/newer rw,noatime - btrfs /dev/sda2 rw,subvolid=261,subvol=/@be/newer
43 22 0:40 /@be/new /mnt/other rw,noatime - btrfs /dev/sdb1 rw,subvolid=260,subvol=/@be/new
44 22 8:3 /@be/new /mnt/ext4 rw - ext4 /dev/sda2 rw
`

func TestOnly(t *testing.T) {
	for subvolume, want := range map[string][]string{
		"@be/new":  {"/run/apt-be/mnt/new", "/mnt/a b"},
		"@rootfs":  {"/"},
		"@be/none": nil,
	} {
		found, err := mountinfo.GetMountsFromReader(strings.NewReader(table), only("/dev/sda2", subvolume))
		if err != nil {
			t.Fatal(err)
		}
		var dirs []string
		for _, m := range found {
			dirs = append(dirs, m.Mountpoint)
		}
		if !slices.Equal(dirs, want) {
			t.Errorf("%s is mounted at %q, want %q", subvolume, dirs, want)
		}
	}
}

func TestOfUnmounted(t *testing.T) {
	dirs, err := Of("/dev/none", "@be/none")
	if err != nil || len(dirs) != 0 {
		t.Errorf("Of = %q, %v, want nothing", dirs, err)
	}
}

func TestErrors(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "missing")
	err := Mount("/dev/none", "@be/a", dir, true)
	if err == nil || !strings.Contains(err.Error(), "cannot mount @be/a at "+dir) {
		t.Errorf("Mount = %v", err)
	}
	err = Unmount(dir)
	if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EPERM) {
		t.Errorf("Unmount = %v, want ENOENT, or EPERM without root", err)
	}
}
