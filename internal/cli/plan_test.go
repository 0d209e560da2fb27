package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/method"
)

// noKexec returns a machine that runs the fixture's kernel and has no kexec.
func noKexec(string) method.Host {
	return method.Host{
		Systemd:     func() (string, error) { return "257", nil },
		Kernel:      func() (string, string, error) { return "6.1.0", "#1", nil },
		CommandLine: func() (string, error) { return "quiet", nil },
		UsrMounted:  func() (bool, error) { return false, nil },
		Probe:       func(*os.File) error { return kexec.ErrUnsupported },
		Initrd:      func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("old initrd")), nil },
	}
}

// plan runs the verb.
func (f *fixture) plan(name string) (string, error) {
	f.Helper()
	var out bytes.Buffer
	f.app.Stdout = &out
	cmd := newPlanOn(f.app, noKexec)
	cmd.SetArgs([]string{name})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func TestPlan(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	f.write("@be/new/boot/vmlinuz-6.12.0", "new kernel")
	f.write("@be/new/boot/initrd.img-6.12.0", "new initrd")
	f.write("@be/new/lib/modules/6.12.0/modules.dep", "")
	f.write("@be/new/var/lib/dpkg/status", status("a", "2")+status("c", "1"))
	out, err := f.plan("new")
	must(t, err)
	for _, want := range []string{
		"from      rootfs\n", "to        new\n", "packages  1 upgraded, 1 new, 1 removed\n", "kernel    6.1.0 → 6.12.0\n", "picked    reboot\n",
		"soft-reboot  userspace  no: it has no systemd; ", "the kernel differs (6.1.0 → 6.12.0)",
		"kexec        kernel     no: kexec is not possible\n", "reboot       kernel     yes: always possible",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}

	f.app.options.Plain = true
	out, err = f.plan("new")
	if must(t, err); strings.Count(out, "\n") != 3 || strings.Count(out, "\t") != 6 {
		t.Errorf("plain:\n%s", out)
	}
	f.app.options.JSON = true
	out, err = f.plan("new")
	must(t, err)
	var p planJSON
	must(t, json.Unmarshal([]byte(out), &p))
	if p.Picked != be.Reboot || len(p.Methods) != 3 || p.Methods[0].Possible || p.KernelTo != "6.12.0" {
		t.Errorf("JSON: %+v", p)
	}
}

func TestPlanRefuses(t *testing.T) {
	f := newFixture(t)
	f.run(0, "create", "new")
	must(t, os.RemoveAll(f.store.Path("@be/new/boot")))
	for name, want := range map[string]string{
		"new": "it has no kernel", "rootfs": "already running", "none": "no such boot environment",
	} {
		if _, err := f.plan(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("plan %s: %v, want %q", name, err, want)
		}
	}
}
