// Package image makes disks of virtual machines, once: they are kept in .cache/vm until
// one of their inputs changes.
//
// An image is a directory: a disk, the EFI variables if the machine has them, and a
// lock that users hold. build-disk makes the first image. Each further image contains
// the writes of a machine to an overlay of the image below, and its name begins with
// the name of that image.
package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// The recipes of build-disk, which describes them.
const (
	BIOSGRUB       = "bios-grub"
	BIOSGRUBStable = "bios-grub-stable"
	BIOSGRUBUsr    = "bios-grub-usr"
	BIOSBootExt4   = "bios-boot-ext4"
	UEFIGRUB       = "uefi-grub"
	UEFISDBoot     = "uefi-sdboot"
)

// Recipes returns all recipes.
func Recipes() []string {
	return []string{BIOSGRUB, UEFIGRUB, UEFISDBoot, BIOSBootExt4, BIOSGRUBStable, BIOSGRUBUsr}
}

// Image is a finished disk, which no machine writes to. It exists until the end of the
// test that asked for it.
type Image struct {
	dir string
}

// repository returns the directory of the source.
func repository() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "..")
}

// Build returns the image of a recipe, without apt-be.
func Build(t guest.T, recipe string) Image {
	t.Helper()
	build := exec.Command(filepath.Join(repository(), "tests/vm/build-disk"), recipe)
	var messages bytes.Buffer
	build.Stderr = &messages
	out, err := build.Output()
	if err != nil {
		t.Fatalf("cannot build the disk: %v\n%s", err, tail(messages.Bytes()))
	}
	i := Image{dir: filepath.Dir(strings.TrimSpace(string(out)))}
	collect(filepath.Join(filepath.Dir(i.dir), recipe), filepath.Base(i.dir))
	if !hold(t, i.dir) {
		t.Fatalf("cannot use the disk: somebody has deleted %s", i.dir)
	}
	return i
}

// Installed returns the image of a recipe with apt-be installed.
func Installed(t guest.T, recipe string) Image {
	t.Helper()
	return Build(t, recipe).Install(t)
}

// Install returns an image like i with apt-be installed, from the package that
// scripts/build-deb has built.
func (i Image) Install(t guest.T) Image {
	t.Helper()
	debs, err := filepath.Glob(filepath.Join(repository(), "build/apt-be_*.deb"))
	if err != nil || len(debs) != 1 {
		t.Fatalf("there is not one package build/apt-be_*.deb but %q: run scripts/build-deb", debs)
	}
	deb, err := os.ReadFile(debs[0])
	if err != nil {
		t.Fatalf("cannot read the package: %v", err)
	}
	return i.Layer(t, "installed", string(deb), func(g *guest.Guest) {
		g.Put(t, debs[0], "/var/tmp/apt-be.deb")
		g.Shell(t, "dpkg -i /var/tmp/apt-be.deb && rm /var/tmp/apt-be.deb")
	})
}

// Initialize returns an image like i after apt-be init.
func (i Image) Initialize(t guest.T) Image {
	t.Helper()
	return i.Layer(t, "init", "", func(g *guest.Guest) {
		g.Shell(t, "apt-be init -y")
	})
}

// Layer returns an image with the changes of a machine that booted from i and ran work.
// The name describes the changes for people. key contains all further inputs of the
// result. The machine is shut down afterwards.
func (i Image) Layer(t guest.T, name, key string, work func(*guest.Guest)) Image {
	t.Helper()
	sum := sha256.Sum256([]byte(key))
	stem := i.dir + "." + name
	layer := Image{dir: stem + "-" + hex.EncodeToString(sum[:6])}
	unlock, err := lock(stem + ".lock")
	if err != nil {
		t.Fatalf("cannot make the image: %v", err)
	}
	defer unlock()
	collect(stem, filepath.Base(layer.dir))
	if hold(t, layer.dir) {
		return layer
	}
	under, err := os.MkdirTemp(filepath.Dir(i.dir), ".new.")
	if err != nil {
		t.Fatalf("cannot make the image: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(under) })
	disk, err := i.disk().Overlay(under, true)
	if err != nil {
		t.Fatalf("cannot make the image: %v", err)
	}
	g := guest.Start(t, disk, guest.Options{})
	g.WaitBoot(t)
	g.Settle(t)
	work(g)
	g.PowerOff(t)
	if err := os.Rename(under, layer.dir); err != nil {
		t.Fatalf("cannot make the image: %v", err)
	}
	if !hold(t, layer.dir) {
		t.Fatalf("cannot use the image: somebody has deleted %s", layer.dir)
	}
	return layer
}

// disk returns the image's disk. Machines write only to overlays of it.
func (i Image) disk() guest.Disk {
	disk := guest.Disk{File: filepath.Join(i.dir, "disk.qcow2"), Format: "qcow2"}
	if _, err := os.Stat(disk.File); err != nil {
		disk = guest.Disk{File: filepath.Join(i.dir, "disk.raw"), Format: "raw"}
	}
	if vars := filepath.Join(i.dir, "vars.fd"); exists(vars) {
		disk.Vars = vars
	} else if strings.HasPrefix(filepath.Base(i.dir), "uefi-") {
		disk.Vars = guest.NoVariables
	}
	return disk
}

// Disk returns a new disk with the image's content, which is deleted after the test.
func (i Image) Disk(t guest.T) guest.Disk {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-be-vm.")
	if err != nil {
		t.Fatalf("cannot make a disk: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	disk, err := i.disk().Overlay(dir, false)
	if err != nil {
		t.Fatalf("cannot make a disk: %v", err)
	}
	return disk
}

// Start boots a machine from a new disk with the image's content.
func (i Image) Start(t guest.T, options guest.Options) *guest.Guest {
	t.Helper()
	return guest.Start(t, i.Disk(t), options)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

func tail(b []byte) []byte {
	return b[max(0, len(b)-8000):]
}
