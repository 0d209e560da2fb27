package method

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
)

func fakeMachine() Host {
	return Host{
		Systemd:     func() (string, error) { return "257.1", nil },
		Kernel:      func() (string, string, error) { return release, version, nil },
		CommandLine: func() (string, error) { return "root=/dev/vda ro quiet", nil },
		UsrMounted:  func() (bool, error) { return false, nil },
		Probe:       func(*os.File) error { return nil },
		Initrd:      func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("initrd")), nil },
	}
}

// fakeTarget returns an environment with the running kernel.
func fakeTarget(t *testing.T) Target {
	t.Helper()
	root := t.TempDir()
	image := make([]byte, 0x400)
	copy(image[0x202:], "HdrS")
	image[0x20f] = 1 // the text is at 0x200 + 0x100
	copy(image[0x300:], release+" (d) "+version)
	for path, content := range map[string]string{
		"boot/vmlinuz-" + release:                     string(image),
		"boot/initrd.img-" + release:                  "initrd",
		"lib/modules/" + release + "/modules.dep.bin": "",
		"var/lib/dpkg/status":                         "Package: systemd\nStatus: install ok installed\nArchitecture: amd64\nVersion: 257.2-1\n\n",
	} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Target{
		Root:        root,
		Kernel:      be.Kernel{Version: release, Image: "boot/vmlinuz-" + release, Initrd: "boot/initrd.img-" + release},
		CommandLine: "root=UUID=1-2 ro quiet",
	}
}

func TestGather(t *testing.T) {
	target := fakeTarget(t)
	f, err := Gather(fakeMachine(), target)
	if err != nil {
		t.Fatal(err)
	}
	if got := Picked(Choose(f, All())); got.Method != be.SoftReboot {
		t.Errorf("picked %s for\n%+v", got.Summary(), f)
	}
	if f.Soft.Next.Systemd != "257.2-1" {
		t.Errorf("systemd is %q", f.Soft.Next.Systemd)
	}

	for _, file := range []string{"lib/modules/" + release + "/modules.dep.bin", "boot/initrd.img-" + release, "var/lib/dpkg/status"} {
		if err := os.WriteFile(filepath.Join(target.Root, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(target.Root, "lib/modules")); err != nil {
		t.Fatal(err)
	}
	if f, err = Gather(fakeMachine(), target); err != nil {
		t.Fatal(err)
	}
	want := "no: it has no systemd; it has no modules for the running kernel " + release + "; the initrd differs"
	if got := Of(Choose(f, All()), be.SoftReboot).Summary(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestGatherKexec(t *testing.T) {
	machine, target := fakeMachine(), fakeTarget(t)
	target.CommandLine = strings.Repeat("x", kexec.MaxCommandLine+1)
	if f, err := Gather(machine, target); err != nil || !errors.Is(f.Kexec, kexec.ErrUnsupported) {
		t.Errorf("a command line that is too long: %v, %v", f.Kexec, err)
	}
	target.CommandLine = ""
	for _, probe := range []error{nil, kexec.ErrLoaded, kexec.ErrUnsupported} {
		machine.Probe = func(*os.File) error { return probe }
		f, err := Gather(machine, target)
		if possible := f.Kexec == nil; err != nil || possible != (probe != kexec.ErrUnsupported) {
			t.Errorf("after %v: %v, %v", probe, f.Kexec, err)
		}
	}
}

// A missing initrd for the running kernel counts as a difference, not as an error.
func TestGatherWithoutInitrd(t *testing.T) {
	machine := fakeMachine()
	machine.Initrd = func(string) (io.ReadCloser, error) { return nil, fs.ErrNotExist }
	f, err := Gather(machine, fakeTarget(t))
	if v := softreboot.Suitable(f.Soft); err != nil || len(v.Lacking) != 1 {
		t.Errorf("%v, %v", v, err)
	}
}

func TestGatherFails(t *testing.T) {
	broken := errors.New("broken")
	for name, spoil := range map[string]func(*Host, *Target){
		"systemd":      func(m *Host, _ *Target) { m.Systemd = func() (string, error) { return "", broken } },
		"kernel":       func(m *Host, _ *Target) { m.Kernel = func() (string, string, error) { return "", "", broken } },
		"command line": func(m *Host, _ *Target) { m.CommandLine = func() (string, error) { return "", broken } },
		"usr":          func(m *Host, _ *Target) { m.UsrMounted = func() (bool, error) { return false, broken } },
		"initrd":       func(m *Host, _ *Target) { m.Initrd = func(string) (io.ReadCloser, error) { return nil, broken } },
	} {
		machine, target := fakeMachine(), fakeTarget(t)
		spoil(&machine, &target)
		if _, err := Gather(machine, target); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	target := fakeTarget(t)
	target.Kernel.Image = "boot/vmlinuz-none"
	if _, err := Gather(fakeMachine(), target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no kernel: %v", err)
	}
}
