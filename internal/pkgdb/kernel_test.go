package pkgdb

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKernels(t *testing.T) {
	root := makeRoot(t, map[string]string{
		"boot/vmlinuz-6.1.0-9-amd64":                     "k",
		"boot/initrd.img-6.1.0-9-amd64":                  "i",
		"usr/lib/modules/6.1.0-9-amd64/modules.dep":      "",
		"boot/vmlinuz-6.1.0-18-amd64":                    "k",
		"usr/lib/modules/6.1.0-18-amd64/modules.dep":     "",
		"boot/vmlinuz-6.1.0-18-amd64.dpkg-new":           "k",
		"boot/vmlinuz-6.12.0":                            "k",
		"boot/vmlinux-6.12.0":                            "k",
		"boot/initrd.img-6.12.0":                         "",
		"boot/vmlinux-6.12.0-rc3":                        "k",
		"boot/initrd.img-6.12.0-rc3":                     "i",
		"usr/lib/modules/6.12.0-rc3/updates/x.ko":        "left over",
		"boot/vmlinuz-5.10.0":                            "",
		"boot/vmlinuz-5.10.0.old":                        "k",
		"boot/vmlinuz-6.1'; reboot":                      "k",
		"boot/config-6.1.0-9-amd64":                      "c",
		"usr/lib/modules/4.19.0-1-amd64/modules.builtin": "no image",
	})
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(root, "boot/vmlinuz-9.9")); err != nil {
		t.Fatal(err)
	}
	got, err := Kernels(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []Kernel{
		{Version: "9.9"},
		{Version: "6.12.0", Image: "boot/vmlinuz-6.12.0"},
		{Version: "6.12.0-rc3", Image: "boot/vmlinux-6.12.0-rc3", Initrd: "boot/initrd.img-6.12.0-rc3"},
		{Version: "6.1.0-18-amd64", Image: "boot/vmlinuz-6.1.0-18-amd64", Modules: true},
		{Version: "6.1.0-9-amd64", Image: "boot/vmlinuz-6.1.0-9-amd64", Initrd: "boot/initrd.img-6.1.0-9-amd64", Modules: true},
		{Version: "5.10.0"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("Kernels (-want +got):\n%s", diff)
	}
	reasons := []string{}
	for _, k := range got {
		reason := "boots"
		if err := k.Bootable(); err != nil {
			reason = err.Error()
		}
		reasons = append(reasons, reason)
	}
	wantReasons := []string{
		"the image of kernel 9.9 is not a file with content",
		"kernel 6.12.0 has no initrd",
		"kernel 6.12.0-rc3 has no modules",
		"kernel 6.1.0-18-amd64 has no initrd",
		"boots",
		"the image of kernel 5.10.0 is not a file with content",
	}
	if diff := cmp.Diff(wantReasons, reasons); diff != "" {
		t.Errorf("Bootable (-want +got):\n%s", diff)
	}
	if none, err := Kernels(t.TempDir()); err != nil || len(none) != 0 {
		t.Errorf("a root without /boot: %v, %v", none, err)
	}
}

func TestRelease(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"etc", map[string]string{"etc/os-release": "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\n", "usr/lib/os-release": "PRETTY_NAME=x\n"}, "Debian GNU/Linux 13 (trixie)"},
		{"usr", map[string]string{"usr/lib/os-release": "PRETTY_NAME='Some \\OS'\n"}, "Some \\OS"},
		{"escapes", map[string]string{"etc/os-release": `PRETTY_NAME="a \"b\" \$c"`}, `a "b" $c`},
		{"control", map[string]string{"etc/os-release": "PRETTY_NAME=\"\x1b[31mred\a\"\n"}, "[31mred"},
		{"nothing", map[string]string{"etc/os-release": "ID=x\n"}, "Linux"},
	}
	for _, test := range tests {
		if got, err := Release(makeRoot(t, test.files)); err != nil || got != test.want {
			t.Errorf("%s: %q, %v", test.name, got, err)
		}
	}
	if got, err := Release(t.TempDir()); err == nil {
		t.Errorf("nothing was named %q", got)
	}
	absolute := makeRoot(t, map[string]string{"usr/lib/os-release": "PRETTY_NAME=own\n", "etc/x": ""})
	if err := os.Symlink("/etc/os-release", filepath.Join(absolute, "etc/os-release")); err != nil {
		t.Fatal(err)
	}
	if got, err := Release(absolute); err != nil || got != "own" {
		t.Errorf("an absolute link: %q, %v", got, err)
	}
}
