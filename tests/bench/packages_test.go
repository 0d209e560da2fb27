package main

import (
	"maps"
	"os"
	"path/filepath"
	"testing"
)

const simulated = `Reading package lists...
The following packages will be upgraded:
  libc6
Remv libold1 [1.0-1] [libc6:amd64 ]
Inst libc6 [2.36-9+deb12u1] (2.41-12 Debian:13.1/stable [amd64]) [libc-bin:amd64 ]
Inst libgone:i386 [1:2-1] (1:2-2 Debian:13.1/stable, Debian-Security:13/stable-security [i386])
Inst linux-image-6.12.1-amd64 (6.12.1-1 Debian:13.1/stable [amd64])
Conf libc6 (2.41-12 Debian:13.1/stable [amd64])
`

func TestParsePlan(t *testing.T) {
	p := parsePlan(simulated)
	want := map[string]string{"libc6:amd64": "2.41-12", "libgone:i386": "1:2-2", "linux-image-6.12.1-amd64:amd64": "6.12.1-1"}
	if !maps.Equal(p.Installs, want) {
		t.Errorf("installs %v, want %v", p.Installs, want)
	}
	if len(p.Removes) != 1 || p.Removes[0] != "libold1" {
		t.Errorf("removes %v", p.Removes)
	}
}

func TestPlanCheck(t *testing.T) {
	p := parsePlan(simulated)
	done := map[string]string{"libc6:amd64": "2.41-12", "libgone:i386": "1:2-2", "linux-image-6.12.1-amd64:amd64": "6.12.1-1", "more:all": "1"}
	if err := p.check(done); err != nil {
		t.Error(err)
	}
	for name, version := range map[string]string{"libc6:amd64": "2.36-9+deb12u1", "libgone:i386": "", "libold1:amd64": "1.0-1"} {
		broken := maps.Clone(done)
		broken[name] = version
		if p.check(broken) == nil {
			t.Errorf("%s %q passes", name, version)
		}
	}
}

func TestPlanFiles(t *testing.T) {
	dir := t.TempDir()
	p := Plan{Installs: map[string]string{"libgone:i386": "1:2-2"}}
	if _, err := p.files(dir); err == nil {
		t.Error("a missing package passes")
	}
	if err := os.WriteFile(filepath.Join(dir, "libgone_1%3a2-2_i386.deb"), []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	if n, err := p.files(dir); n != 5 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestChanges(t *testing.T) {
	before := parseStatus("Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\nPackage: b\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\nPackage: c\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nDescription: c\n Version: 2\n")
	if want := map[string]string{"a:all": "1", "c:all": "1"}; !maps.Equal(before, want) {
		t.Fatalf("%v, want %v", before, want)
	}
	after := map[string]string{"a:all": "2", "b:all": "1", "d:all": "1"}
	if got, want := changes(before, after), (Changes{Upgraded: 1, New: 2, Removed: 1}); got != want {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestCheckKernels(t *testing.T) {
	root := t.TempDir()
	put := func(name string, size int) {
		t.Helper()
		file := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		if err == nil {
			err = os.WriteFile(file, make([]byte, size), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		size int
	}{{"boot/vmlinuz-6", 1}, {"boot/initrd.img-6", 100}, {"boot/initrd.img-6", 1 << 20}} {
		if checkKernels(root) == nil {
			t.Errorf("passes without %s of %d bytes", step.name, step.size)
		}
		put(step.name, step.size)
	}
	put("usr/lib/modules/6/modules.dep", 1)
	if err := checkKernels(root); err != nil {
		t.Error(err)
	}
	put("boot/vmlinuz-7", 1)
	if checkKernels(root) == nil {
		t.Error("a second kernel passes without its initrd")
	}
}
