//go:build cgo

package btrfs

import (
	"errors"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"

	"github.com/apt-be/apt-be/internal/store"
)

func TestSourceOfMount(t *testing.T) {
	// The second mount of / hides the first. A chroot that is not a mount point does
	// not list the host's root.
	const table = `20 1 8:2 / / rw,relatime - ext4 /dev/sda2 rw
51 20 0:41 /@rootfs / rw,relatime shared:1 - btrfs /dev/loop3 rw,space_cache=v2,subvolid=256,subvol=/@rootfs
52 51 0:22 / /proc rw,nosuid - proc proc rw
53 51 0:55 / /srv/a\040b rw - btrfs /dev/mapper/vg-srv rw,subvolid=5,subvol=/
`
	mounts, err := mountinfo.GetMountsFromReader(strings.NewReader(table), nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		id             uint64
		source, reason string
	}{
		{51, "/dev/loop3", ""},
		{53, "/dev/mapper/vg-srv", ""},
		{20, "", "it is on ext4"},
		{52, "", "it is on proc"},
		{7, "", "chroot whose root is not a mount point"},
	}
	for _, tt := range tests {
		source, err := sourceOfMount(mounts, tt.id)
		if source != tt.source {
			t.Errorf("sourceOfMount(%d) = %q, want %q", tt.id, source, tt.source)
		}
		if tt.reason == "" && err != nil {
			t.Errorf("sourceOfMount(%d) failed: %v", tt.id, err)
		}
		if tt.reason != "" && (!errors.Is(err, store.ErrUnsupported) || !strings.Contains(err.Error(), tt.reason)) {
			t.Errorf("sourceOfMount(%d) failed with %v, want ErrUnsupported and %q", tt.id, err, tt.reason)
		}
	}
}
