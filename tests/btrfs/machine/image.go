// Package machine runs real Debian systems for tests. Each machine is a snapshot of
// a root file system on btrfs; scripts/enter enters it as the running root, in its
// own namespaces. The package needs root, loop devices and btrfs, and fails the test
// if one of them is missing.
package machine

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// imageSize is the size of the sparse image in bytes. A root and some snapshots
// occupy about one hundredth of it.
const imageSize = 64 << 30

// Image is a btrfs file system with template roots. Machines are snapshots of the
// templates. The machines of one image share only the file system.
type Image struct {
	Recipe string // the root's recipe in scripts/build-root
	// Archives is a directory of the host that machines mount at
	// /var/cache/apt/archives; "" for none.
	Archives string
	project  string   // the top directory of the repository
	device   string   // the loop device
	top      *os.File // the top-level subvolume
}

// NewImage makes an image. Its subvolume template contains the root that
// scripts/build-root RECIPE builds. The image is deleted when the test ends.
func NewImage(t testing.TB, recipe, template string) *Image {
	t.Helper()
	return NewImageOf(t, imageSize, recipe, template)
}

// NewImageOf is NewImage with a size in bytes.
func NewImageOf(t testing.TB, size int64, recipe, template string) *Image {
	t.Helper()
	loop.RequireRoot(t)
	image := &Image{Recipe: recipe, project: projectDir(t)}
	archive := image.buildRoot(t)
	image.device = loop.Create(t, size).Device
	var err error
	if image.top, err = mountTop(image.Device()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { image.unmount(t) })
	if err := createSubvolume(image.Path(template)); err != nil {
		t.Fatal(err)
	}
	extract := exec.Command("tar", "-x", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", archive)
	extract.Dir = image.Path(template)
	if out, err := extract.CombinedOutput(); err != nil {
		t.Fatalf("cannot unpack %s: %v: %s", archive, err, out)
	}
	return image
}

// unmount closes the file system and waits until the kernel has released it. A
// process that another test is starting holds copies of all descriptors until its
// execve.
func (i *Image) unmount(t testing.TB) {
	t.Helper()
	i.top.Close()
	mounted := "/sys/fs/btrfs/*/devices/" + filepath.Base(i.device)
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		users, err := filepath.Glob(mounted)
		if err != nil {
			t.Fatal(err)
		}
		if len(users) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("the file system on %s is still mounted somewhere", i.device)
			return
		}
	}
}

// projectDir returns the top directory of the repository that the test runs in.
func projectDir(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
	}
	t.Fatal("cannot find the repository: no go.mod above the working directory")
	return ""
}

func (i *Image) buildRoot(t testing.TB) string {
	t.Helper()
	build := exec.Command(filepath.Join(i.project, "scripts/build-root"), i.Recipe)
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("cannot build the %s root: %v", i.Recipe, err)
	}
	return strings.TrimSpace(string(out))
}

// Project returns the top directory of the repository.
func (i *Image) Project() string { return i.project }

// Device returns the name of the loop device.
func (i *Image) Device() string { return i.device }

// Path returns the path by which this process, and no other, reaches a file of the
// image. name is relative to the top-level subvolume, such as "@rootfs/etc".
func (i *Image) Path(name string) string {
	return fmt.Sprintf("/proc/self/fd/%d/%s", i.top.Fd(), name)
}

// Create makes an empty subvolume.
func (i *Image) Create(t testing.TB, name string) {
	t.Helper()
	if err := createSubvolume(i.Path(name)); err != nil {
		t.Fatal(err)
	}
}

// Snapshot makes a writable snapshot of one subvolume.
func (i *Image) Snapshot(t testing.TB, from, to string) {
	t.Helper()
	if err := snapshot(i.Path(from), i.Path(to)); err != nil {
		t.Fatal(err)
	}
}

// Delete deletes a subvolume and those nested in it.
func (i *Image) Delete(t testing.TB, name string) {
	t.Helper()
	if err := deleteSubvolume(i.Path(name)); err != nil {
		t.Error(err)
	}
}

// Subvolumes lists the subvolumes in a directory of the top-level subvolume, or in
// the top-level subvolume itself if dir is "". For a missing directory the list is
// empty.
func (i *Image) Subvolumes(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(i.Path(dir))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		is, err := isSubvolume(i.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if is {
			names = append(names, name)
		}
	}
	return names
}

// Clear deletes every subvolume, except those at the top level that are named.
func (i *Image) Clear(t testing.TB, keep ...string) {
	t.Helper()
	kept := make(map[string]bool)
	for _, name := range keep {
		kept[name] = true
	}
	entries, err := os.ReadDir(i.Path(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if kept[name] {
			continue
		}
		for _, inner := range i.Subvolumes(t, name) {
			if is, _ := isSubvolume(i.Path(name)); !is {
				i.Delete(t, inner)
			}
		}
		if is, _ := isSubvolume(i.Path(name)); is {
			i.Delete(t, name)
		} else if err := os.RemoveAll(i.Path(name)); err != nil {
			t.Error(err)
		}
	}
}
