package softreboot

import (
	"slices"
	"strings"
	"testing"
)

const (
	version = "#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)"
	build   = "6.12.107+deb13-amd64 (debian-kernel@lists.debian.org) " + version
)

// same returns the facts of a soft-reboot that keeps the kernel.
func same() Facts {
	return Facts{
		Running: Running{
			Systemd: "257.13-1~deb13u1", Release: "6.12.107+deb13-amd64", Version: version, Initrd: "i",
			CommandLine: "BOOT_IMAGE=/@rootfs/boot/vmlinuz root=/dev/vda1 ro rootflags=subvol=@rootfs quiet apt-be.trial=1 apt-be.deadline=600 panic=10",
		},
		Next: Next{
			Systemd: "257.14-1", Release: "6.12.107+deb13-amd64", Build: build, Initrd: "i", Modules: true,
			CommandLine: "root=UUID=1-2 rootflags=subvol=@be/new ro quiet apt-be.trial=2 apt-be.deadline=600 panic=10",
		},
	}
}

func TestSuitable(t *testing.T) {
	tests := []struct {
		name                string
		change              func(*Facts)
		impossible, lacking string
	}{
		{"the same", func(*Facts) {}, "", ""},
		{"another init", func(f *Facts) { f.Running.Systemd = "" }, "init is not systemd", ""},
		{"old systemd", func(f *Facts) { f.Running.Systemd = "252.39-1~deb12u1" }, "systemd 252.39-1~deb12u1 is older than 254", ""},
		{"old systemd next", func(f *Facts) { f.Next.Systemd = "252.39" }, "its systemd 252.39 is older than 254", ""},
		{"no systemd next", func(f *Facts) { f.Next.Systemd = "" }, "it has no systemd", ""},
		{"no modules", func(f *Facts) { f.Next.Modules = false }, "it has no modules for the running kernel 6.12.107+deb13-amd64", ""},
		{"usr", func(f *Facts) { f.Running.UsrMounted = true }, "/usr is a separate file system", ""},
		{"kernel", func(f *Facts) { f.Next.Release = "6.13.1-amd64" }, "", "the kernel differs (6.12.107+deb13-amd64 → 6.13.1-amd64)"},
		{"build", func(f *Facts) { f.Next.Build = strings.Replace(build, "107-1", "107-2", 1) }, "",
			"the kernel 6.12.107+deb13-amd64 is a different build (" + version + " → #1 SMP PREEMPT_DYNAMIC Debian 6.12.107-2 (2026-08-29))"},
		{"release of the build", func(f *Facts) { f.Next.Build = strings.Replace(build, "amd64", "cloud-amd64", 1) }, "",
			"the kernel 6.12.107+deb13-amd64 is a different build (" + version + " → " + version + ")"},
		{"no build", func(f *Facts) { f.Next.Build = "" }, "",
			"it is unknown whether its kernel 6.12.107+deb13-amd64 is the same build as the running one"},
		{"initrd", func(f *Facts) { f.Next.Initrd = "j" }, "", "the initrd differs"},
		{"parameters", func(f *Facts) { f.Next.CommandLine += " splash rootflags=compress=zstd,subvol=@be/new" }, "",
			"the kernel's parameters differ (+splash +rootflags=compress=zstd)"},
		{"fewer parameters", func(f *Facts) { f.Next.CommandLine = "root=UUID=1-2" }, "", "the kernel's parameters differ (-quiet)"},
	}
	for _, test := range tests {
		f := same()
		test.change(&f)
		v := Suitable(f)
		if got := strings.Join(v.Impossible, "; "); got != test.impossible {
			t.Errorf("%s: impossible %q, want %q", test.name, got, test.impossible)
		}
		if got := strings.Join(v.Lacking, "; "); got != test.lacking {
			t.Errorf("%s: lacking %q, want %q", test.name, got, test.lacking)
		}
	}
}

func TestMajor(t *testing.T) {
	for text, want := range map[string]int{"257.9-1": 257, "254~rc1": 254, "260": 260, "v257": 0, "": 0} {
		if got := major(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestRelevant(t *testing.T) {
	got := relevant(`root=/dev/sda1 rw dyndbg="file a.c +p" rootflags=subvol=@a,subvolid=5 console=ttyS0 console=tty0`)
	if want := []string{"dyndbg=file a.c +p", "console=ttyS0", "console=tty0"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
