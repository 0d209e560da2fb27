package grub

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

func TestLocate(t *testing.T) {
	ext4 := Place{Dir: "/boot/grub", FSType: "ext4", FSUUID: "1-2", Name: "/grub", Plain: true}
	stacked := ext4
	stacked.Plain = false
	xfs := ext4
	xfs.FSType = "xfs"
	store := Place{Dir: "/proc/self/fd/7/@grub", FSType: "btrfs", FSUUID: "3-4", Name: "/@grub"}
	esp := Place{Dir: "/boot/efi", FSType: "vfat", FSUUID: "AB-CD", Name: "/", Plain: true}
	mirrored := esp
	mirrored.Plain = false

	onESP := Env{Kind: WritableEnv, Path: "/boot/efi/EFI/apt-be/grubenv", FSUUID: "AB-CD", Name: "/EFI/apt-be/grubenv"}
	onExt4 := Env{Kind: WritableEnv, Path: "/boot/grub/apt-be.env", FSUUID: "1-2", Name: "/grub/apt-be.env"}
	onStore := Env{Kind: ReadOnlyEnv, Path: "/proc/self/fd/7/@grub/apt-be.env", FSUUID: "3-4", Name: "/@grub/apt-be.env"}
	tests := []struct {
		name string
		menu Place
		esp  *Place
		want Env
	}{
		{"ext4", ext4, nil, onExt4},
		{"ext4 before the ESP", ext4, &esp, onExt4},
		{"btrfs", store, nil, onStore},
		{"btrfs and an ESP", store, &esp, onESP},
		{"btrfs and an ESP on RAID", store, &mirrored, onStore},
		{"ext4 on LVM", stacked, nil, Env{}},
		{"ext4 on LVM, and an ESP", stacked, &esp, onESP},
		{"xfs", xfs, nil, Env{}},
		{"without a UUID", Place{Dir: "/boot/grub", FSType: "ext4", Plain: true}, nil, Env{}},
	}
	for _, test := range tests {
		if got := Locate(test.menu, test.esp); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestIsPlain(t *testing.T) {
	sys := t.TempDir()
	for _, dir := range []string{"vda/slaves", "vda/vda1", "md0/slaves/vda1", "md0/md0p1"} {
		if err := os.MkdirAll(filepath.Join(sys, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"vda/vda1", "md0/md0p1"} {
		if err := os.WriteFile(filepath.Join(sys, dir, "partition"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for device, want := range map[string]bool{
		"vda": true, "vda/vda1": true, "md0": false, "md0/md0p1": false, "missing": false,
	} {
		if got := isPlain(filepath.Join(sys, device)); got != want {
			t.Errorf("%s: %v", device, got)
		}
	}
}

func TestPlaceOfMissing(t *testing.T) {
	if place, err := PlaceOf(context.Background(), filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Errorf("%+v", place)
	}
}
