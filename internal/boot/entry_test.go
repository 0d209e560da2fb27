package boot

import (
	"errors"
	"testing"

	"github.com/apt-be/apt-be/internal/fstab"
)

func TestCommandLine(t *testing.T) {
	tests := []struct{ name, options, want string }{
		{"none", "", "root=UUID=1-2 rootflags=subvol=@be/a ro"},
		{"more", "quiet splash", "root=UUID=1-2 rootflags=subvol=@be/a ro quiet splash"},
		{"writable", "rw quiet", "root=UUID=1-2 rootflags=subvol=@be/a rw quiet"},
		{"of a running kernel", "BOOT_IMAGE=/@rootfs/boot/vmlinuz-6.1 root=/dev/vda2 ro rootflags=subvol=@rootfs quiet\n", "root=UUID=1-2 ro rootflags=subvol=@be/a quiet"},
		{"further flags", "rootflags=compress=zstd,subvolid=5", "root=UUID=1-2 ro rootflags=compress=zstd,subvol=@be/a"},
		{"quoted", `dyndbg="file a.c +p" root="x y"`, `root=UUID=1-2 rootflags=subvol=@be/a ro dyndbg="file a.c +p"`},
	}
	for _, test := range tests {
		got, err := Entry{FSUUID: "1-2", Subvolume: "@be/a", Options: test.options}.CommandLine()
		if err != nil || got != test.want {
			t.Errorf("%s: %v\ngot  %s\nwant %s", test.name, err, got, test.want)
		}
	}
	if _, err := (Entry{Subvolume: "a,b"}).CommandLine(); !errors.Is(err, fstab.ErrBadSubvolume) {
		t.Error(err)
	}
}

func TestInSubvolume(t *testing.T) {
	for _, subvolume := range []string{"@be/a", "/@be/a/"} {
		for _, file := range []string{"boot/vmlinuz-1", "/boot/vmlinuz-1"} {
			if got := InSubvolume(subvolume, file); got != "/@be/a/boot/vmlinuz-1" {
				t.Error(got)
			}
		}
	}
}

func TestOneLine(t *testing.T) {
	if got := OneLine(" a\nb\x1b[1m\u2028é "); got != "a b [1m é" {
		t.Errorf("%q", got)
	}
}
