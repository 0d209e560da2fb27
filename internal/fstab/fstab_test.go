package fstab

import (
	"bytes"
	"errors"
	"testing"
)

const installer = `# /etc/fstab: static file system information.
#
# <file system> <mount point>   <type>  <options>       <dump>  <pass>
# / was on /dev/vda2 during installation
UUID=1b2c-d /               btrfs   defaults,subvol=@rootfs 0       0
UUID=AB-CD	/boot/efi	vfat	umask=0077	0	1
UUID=1b2c-d /home btrfs subvol=@home,subvolid=300 0 0

/dev/sr0        /media/cdrom0   udf,iso9660 user,noauto     0       0`

func TestSetRootSubvolume(t *testing.T) {
	tests := []struct{ name, in, subvol, want string }{
		{"value", "U / btrfs defaults,subvol=@rootfs,noatime 0 0\n", "@be/a", "U / btrfs defaults,subvol=@be/a,noatime 0 0\n"},
		{"same", "U / btrfs subvol=@be/a 0 0\n", "@be/a", "U / btrfs subvol=@be/a 0 0\n"},
		{"leading slash kept", "U / btrfs subvol=/@rootfs 0 0\n", "@be/a", "U / btrfs subvol=/@be/a 0 0\n"},
		{"same with slash", "U / btrfs subvol=/@be/a 0 0\n", "@be/a", "U / btrfs subvol=/@be/a 0 0\n"},
		{"slash given", "U / btrfs subvol=@rootfs 0 0\n", "/@be/a", "U / btrfs subvol=@be/a 0 0\n"},
		{"subvolid goes", "U / btrfs rw,subvolid=256,subvol=@,ssd 0 0\n", "@be/a", "U / btrfs rw,subvol=@be/a,ssd 0 0\n"},
		{"only subvolid", "U / btrfs subvolid=256\n", "@be/a", "U / btrfs subvol=@be/a\n"},
		{"none", "U\t/\tbtrfs\tdefaults\t0\t0\n", "@be/a", "U\t/\tbtrfs\tdefaults,subvol=@be/a\t0\t0\n"},
		{"no options", "U / btrfs\n", "@be/a", "U / btrfs subvol=@be/a\n"},
		{"no options, no newline", "U / btrfs", "@be/a", "U / btrfs subvol=@be/a"},
		{"twice", "U / btrfs subvol=a,x,subvol=b 0 0\n", "@be/a", "U / btrfs subvol=@be/a,x 0 0\n"},
		{"quoted comma", "U / btrfs subvol=\"a,b\",x 0 0\n", "@be/a", "U / btrfs subvol=@be/a,x 0 0\n"},
		{"escaped mount point", "U \\057 btrfs subvol=a 0 0\n", "@be/a", "U \\057 btrfs subvol=@be/a 0 0\n"},
		{"escaped value", "U / btrfs subvol=old\\040name,x 0 0\n", "new name", "U / btrfs subvol=new\\040name,x 0 0\n"},
		{"trailing comment and blanks", "  U  /  btrfs  subvol=a  0  0  # root  \n", "@be/a", "  U  /  btrfs  subvol=@be/a  0  0  # root  \n"},
		{"type auto", "U / auto subvol=a 0 0\n", "@be/a", "U / auto subvol=@be/a 0 0\n"},
		{"other lines", "#U / btrfs subvol=a\n\nU /srv btrfs subvol=a\nU / btrfs subvol=a\n", "b", "#U / btrfs subvol=a\n\nU /srv btrfs subvol=a\nU / btrfs subvol=b\n"},
	}
	for _, test := range tests {
		got, changed, err := SetRootSubvolume([]byte(test.in), test.subvol)
		if err != nil || string(got) != test.want || changed != (test.in != test.want) {
			t.Errorf("%s: %v, %t\ngot  %q\nwant %q", test.name, err, changed, got, test.want)
		}
	}

	got, _, err := SetRootSubvolume([]byte(installer), "@be/2026-11-20")
	want := bytes.Replace([]byte(installer), []byte("subvol=@rootfs"), []byte("subvol=@be/2026-11-20"), 1)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the installer's fstab: %v\n%s", err, got)
	}
}

func TestSetRootSubvolumeRefuses(t *testing.T) {
	tests := []struct {
		in, subvol string
		want       error
	}{
		{"", "a", ErrNoRoot},
		{"# U / btrfs x 0 0\nU /home btrfs x 0 0\n", "a", ErrNoRoot},
		{"U /\n", "a", ErrNoRoot},
		{"U / ext4 defaults 0 1\n", "a", ErrNotBtrfs},
		{"U / btrfs x 0 0\n", "a,b", ErrBadSubvolume},
		{"U / btrfs x 0 0\n", `a"b`, ErrBadSubvolume},
		{"U / btrfs x 0 0\n", "/", ErrBadSubvolume},
	}
	for _, test := range tests {
		out, changed, err := SetRootSubvolume([]byte(test.in), test.subvol)
		if !errors.Is(err, test.want) || changed || string(out) != test.in {
			t.Errorf("%q, %q: %v, %q", test.in, test.subvol, err, out)
		}
	}
}

func TestRootSubvolume(t *testing.T) {
	for in, want := range map[string]string{
		installer:                             "@rootfs",
		"U / btrfs subvol=/@a\\040b,x 0 0\n":  "@a b",
		"U / btrfs\n":                         "",
		"U / btrfs subvol=a\nU / btrfs s=b\n": "a",
	} {
		if got, err := RootSubvolume([]byte(in)); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if _, err := RootSubvolume([]byte("U / xfs x\n")); !errors.Is(err, ErrNotBtrfs) {
		t.Error(err)
	}
}

func TestSetRootflags(t *testing.T) {
	tests := []struct{ name, in, subvol, want string }{
		{"replaced", "root=UUID=1 rootflags=subvol=@rootfs ro quiet\n", "@be/a", "root=UUID=1 rootflags=subvol=@be/a ro quiet\n"},
		{"same", "root=UUID=1 rootflags=subvol=@be/a ro\n", "@be/a", "root=UUID=1 rootflags=subvol=@be/a ro\n"},
		{"among others", "rootflags=compress=zstd,subvol=/@rootfs,subvolid=256,noatime ro", "@be/a", "rootflags=compress=zstd,subvol=/@be/a,noatime ro"},
		{"other flags only", "rootflags=compress=zstd ro\n", "@be/a", "rootflags=compress=zstd,subvol=@be/a ro\n"},
		{"missing", "ro root=UUID=1 quiet\n", "@be/a", "ro root=UUID=1 rootflags=subvol=@be/a quiet\n"},
		{"missing, no root", "ro  quiet\n", "@be/a", "ro  quiet rootflags=subvol=@be/a\n"},
		{"missing, init's", "ro -- rootflags=x\n", "@be/a", "ro rootflags=subvol=@be/a -- rootflags=x\n"},
		{"empty", "", "@be/a", "rootflags=subvol=@be/a\n"},
		{"comment", "# root=x\nro\n# end\n", "@be/a", "# root=x\nro rootflags=subvol=@be/a\n# end\n"},
		{"two", "rootflags=subvol=a rootflags=subvolid=5,ssd\n", "b", "rootflags=subvol=b rootflags=ssd,subvol=b\n"},
		{"quoted", "x=\"a rootflags=b\" rootflags=\"subvol=my root\" ro\n", "@be/a", "x=\"a rootflags=b\" rootflags=subvol=@be/a ro\n"},
		{"to be quoted", "rootflags=subvol=a,ssd ro\n", "my root", "rootflags=\"subvol=my root,ssd\" ro\n"},
		{"no rootflags", "my.rootflags=subvol=a\n", "b", "my.rootflags=subvol=a rootflags=subvol=b\n"},
	}
	for _, test := range tests {
		got, changed, err := SetRootflags([]byte(test.in), test.subvol)
		if err != nil || string(got) != test.want || changed != (test.in != test.want) {
			t.Errorf("%s: %v, %t\ngot  %q\nwant %q", test.name, err, changed, got, test.want)
		}
	}
	if _, _, err := SetRootflags([]byte("ro"), "a,b"); !errors.Is(err, ErrBadSubvolume) {
		t.Error(err)
	}
}

func FuzzSetRootSubvolume(f *testing.F) {
	f.Add([]byte(installer), "@be/a")
	f.Add([]byte("U \\057 btrfs subvol=\"/a,b\",subvolid=1\r\n"), "my root\\x")
	f.Fuzz(func(t *testing.T, in []byte, subvol string) {
		out, changed, err := SetRootSubvolume(in, subvol)
		if err != nil {
			return
		}
		if changed == bytes.Equal(in, out) {
			t.Error("changed is wrong")
		}
		again, changed, err := SetRootSubvolume(out, subvol)
		if err != nil || changed || !bytes.Equal(again, out) {
			t.Errorf("not idempotent: %v\n%q\n%q", err, out, again)
		}
		before, after := bytes.SplitAfter(in, []byte("\n")), bytes.SplitAfter(out, []byte("\n"))
		if len(before) != len(after) {
			t.Fatalf("%d lines became %d", len(before), len(after))
		}
		for i := range before {
			entry, isEntry := parseLine(string(before[i]))
			if !(isEntry && entry.mountPoint() == "/") && !bytes.Equal(before[i], after[i]) {
				t.Errorf("line %d changed:\n%q\n%q", i+1, before[i], after[i])
			}
		}
	})
}

func FuzzSetRootflags(f *testing.F) {
	f.Add([]byte("root=UUID=1 rootflags=\"subvol=a b\",x ro -- y\n"), "@be/a")
	f.Fuzz(func(t *testing.T, in []byte, subvol string) {
		out, _, err := SetRootflags(in, subvol)
		if err != nil {
			return
		}
		if again, changed, err := SetRootflags(out, subvol); err != nil || changed {
			t.Errorf("not idempotent: %v\n%q\n%q", err, out, again)
		}
	})
}

func TestSetSubvolumes(t *testing.T) {
	const text = "# mine\nU / btrfs subvol=@rootfs 0 0\nU /opt btrfs nodev,subvolid=300,subvol=/@opt 0 0\n  U /srv auto defaults\nU /gone btrfs subvol=@gone 0 0\n/data /opt none bind 0 0\nU /home btrfs subvol=@home 0 0"
	const want = "# mine\nU / btrfs subvol=@rootfs 0 0\nU /opt btrfs nodev,subvol=/@be/n/opt 0 0\n  U /srv auto defaults,subvol=@be/n/srv\n/data /opt none bind 0 0\nU /home btrfs subvol=@home 0 0"
	places := map[string]string{"/opt": "@be/n/opt", "/srv": "@be/n/srv", "/gone": "", "/none": "@be/n/none"}
	got, changed, err := SetSubvolumes([]byte(text), places)
	if err != nil || !changed || string(got) != want {
		t.Errorf("%v, %t\ngot  %q\nwant %q", err, changed, got, want)
	}
	if again, changed, err := SetSubvolumes(got, places); err != nil || changed || string(again) != want {
		t.Errorf("again: %v, %t, %q", err, changed, again)
	}
	if got, _, err := SetSubvolumes([]byte(text), map[string]string{"/opt": "a,b"}); err == nil || string(got) != text {
		t.Errorf("a comma: %v, %q", err, got)
	}
}
