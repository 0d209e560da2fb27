package btrfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/grub"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// TestGRUBReads writes menus and environment blocks to mounted file systems, and reads
// the disk with GRUB's own code after each write, as after a power cut: GRUB reads no
// journal and no log tree.
func TestGRUBReads(t *testing.T) {
	const uuid = "00000000-0000-4000-8000-000000000000"
	for name, at := range map[string]struct {
		mkfs []string
		kind grub.EnvKind
	}{
		"btrfs": {[]string{"mkfs.btrfs", "-q", "-f"}, grub.ReadOnlyEnv},
		"ext4":  {[]string{"mkfs.ext4", "-q", "-F"}, grub.WritableEnv},
	} {
		t.Run(name, func(t *testing.T) {
			image := loop.CreateBy(t, storeImageSize, at.mkfs...)
			dir := t.TempDir()
			image.Mount(t, dir, "")
			l := &grub.Loader{Dir: dir, Env: grub.Env{Kind: at.kind, Path: filepath.Join(dir, "apt-be.env"), FSUUID: uuid, Name: "/apt-be.env"}}
			for i := range 20 {
				entry := boot.Entry{Name: "a", Title: fmt.Sprint("Debian ", i), Subvolume: "@be/a", Kernel: "/@be/a/boot/vmlinuz", Initrd: "/@be/a/boot/initrd", Options: "root=UUID=" + uuid, FSUUID: uuid}
				nonce := fmt.Sprintf("%016x", i)
				menu := boot.Menu{Entries: []boot.Entry{entry}, Default: "a", Trial: &boot.Trial{Entry: entry, Nonce: nonce}}
				storeMust(t, l.SetMenu(menu, nil))
				wantGRUBReads(t, image, dir, "apt-be.cfg")
				storeMust(t, l.Arm(nonce))
				wantGRUBReads(t, image, dir, "apt-be.env")
				if i%2 == 0 {
					storeMust(t, l.Disarm())
					wantGRUBReads(t, image, dir, "apt-be.env")
				}
			}
		})
	}
}

// wantGRUBReads compares a file with GRUB's view of the disk.
func wantGRUBReads(t *testing.T, image *loop.Image, dir, name string) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join(dir, name))
	storeMust(t, err)
	got, err := exec.Command("grub-fstest", image.File, "cat", "(loop0)/"+name).CombinedOutput()
	if err != nil || string(got) != string(want) {
		t.Fatalf("GRUB reads %q (%v) in %s, which has %q", got, err, name, want)
	}
}
