package method

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
)

const release, version = "6.12.1-amd64", "#1 SMP Debian 6.12.1-1"

// easy returns the facts of a change for which a soft-reboot suffices.
func easy() Facts {
	return Facts{
		Soft: softreboot.Facts{
			Running: softreboot.Running{Systemd: "257", Release: release, Version: version},
			Next:    softreboot.Next{Systemd: "257", Release: release, Build: release + " (d) " + version, Modules: true},
		},
		Level: boot.LevelInitramfs, LevelReason: "GRUB can't write",
	}
}

func TestChoose(t *testing.T) {
	otherKernel := func(f *Facts) { f.Soft.Next.Release = "6.13.1-amd64" }
	noKexec := func(f *Facts) { f.Kexec = errors.New("kexec is not possible: it is locked") }
	tests := []struct {
		name               string
		change             []func(*Facts)
		allowed            []be.Method
		picked             be.Method
		soft, kexec, start string // the expected reasons
	}{
		{"same kernel", nil, All(), be.SoftReboot, "yes: kernel,", "yes: it starts the running kernel again,", "yes: always"},
		{"other kernel", []func(*Facts){otherKernel}, All(), be.Kexec,
			"not sufficient: the kernel differs (6.12.1-amd64 → 6.13.1-amd64)", "yes: it starts the other kernel (6.12.1-amd64 → 6.13.1-amd64)", "yes"},
		{"and no kexec", []func(*Facts){otherKernel, noKexec}, All(), be.Reboot, "not sufficient", "no: kexec is not possible: it is locked", "yes"},
		{"no modules", []func(*Facts){otherKernel, func(f *Facts) { f.Soft.Next.Modules = false }}, All(), be.Kexec,
			"no: it has no modules for the running kernel 6.12.1-amd64; the kernel differs", "yes", "yes"},
		{"kexec alone allowed", nil, []be.Method{be.Kexec}, be.Kexec, "yes: kernel, initrd and kernel parameters are the running ones; Apt-Be::Activate::Methods does not list it", "yes", "yes"},
		{"reboot alone allowed", nil, []be.Method{be.Reboot}, be.Reboot, "yes", "yes", "yes"},
		{"nothing allowed", nil, nil, be.Reboot, "yes", "yes", "yes: always possible; includes firmware and boot loader"},
	}
	for _, test := range tests {
		f := easy()
		for _, change := range test.change {
			change(&f)
		}
		options := Choose(f, test.allowed)
		if got := Picked(options).Method; got != test.picked {
			t.Errorf("%s: picked %s, want %s", test.name, got, test.picked)
		}
		for i, want := range []string{test.soft, test.kexec, test.start} {
			if got := options[i].Summary(); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s: %q, want %q", test.name, options[i].Method, got, want)
			}
		}
		if r := Of(options, be.Reboot); r.Level != boot.LevelInitramfs || r.LevelReason != "GRUB can't write" {
			t.Errorf("%s: a reboot has level %s, %s", test.name, r.Level, r.LevelReason)
		}
	}
}

func TestAllowed(t *testing.T) {
	for dump, want := range map[string]string{
		"": "[soft-reboot kexec reboot]",
		"Apt-Be::Activate::Methods::=Kexec\nApt-Be::Activate::Methods::=reboot\n": "[kexec reboot]",
		"Apt-Be::Activate::Methods::=hibernate\n":                                 `cannot read Apt-Be::Activate::Methods: "hibernate" is not one of soft-reboot, kexec, reboot`,
	} {
		c, err := aptconf.Parse([]byte(dump))
		if err != nil {
			t.Fatal(err)
		}
		allowed, err := Allowed(c)
		got := fmt.Sprint(allowed)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: %s, want %s", dump, got, want)
		}
	}
}
