// Package loop makes file systems in image files on loop devices, for tests
// that run as root. It needs mkfs.btrfs(8), mount(8), and Linux 5.8
// (LOOP_CONFIGURE).
package loop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Image is a file with a file system, attached to a loop device.
type Image struct {
	File   string // the image, a sparse file
	Device string // such as /dev/loop0
	device *os.File
}

// Create makes an empty btrfs file system of size bytes, at least 128 MiB, in a
// sparse file, and attaches the file to a loop device. The file is deleted when the
// test ends. If Create fails, the test fails; it is not skipped.
func Create(t testing.TB, size int64) *Image {
	t.Helper()
	return CreateBy(t, size, "mkfs.btrfs", "-q", "-f")
}

// CreateBy is Create for another file system. mkfs is the command that makes it,
// without the name of the image.
func CreateBy(t testing.TB, size int64, mkfs ...string) *Image {
	t.Helper()
	RequireRoot(t)
	file := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(mkfs[0], append(mkfs[1:], file)...).CombinedOutput(); err != nil {
		t.Fatalf("cannot make a file system by %s: %v\n%s", mkfs[0], err, out)
	}
	return Attach(t, file)
}

// RequireRoot fails the test if it does not run as root.
func RequireRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes loop devices and mounts: run it as root")
	}
}

// Attach attaches an image file to a free loop device until the test ends.
func Attach(t testing.TB, file string) *Image {
	t.Helper()
	device, err := attach(file)
	if err != nil {
		t.Fatalf("cannot attach %s to a loop device: %v", file, err)
	}
	image := &Image{File: file, Device: device.Name(), device: device}
	t.Cleanup(func() { image.Detach(t) })
	return image
}

// attach returns the open loop device. The kernel detaches the device after its last
// user (LO_FLAGS_AUTOCLEAR), so a killed test leaves no device.
func attach(file string) (*os.File, error) {
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, os.NewSyscallError("LOOP_CTL_GET_FREE", err)
		}
		device, err := os.OpenFile("/dev/loop"+strconv.Itoa(number), os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd()), Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR}}
		copy(config.Info.File_name[:len(config.Info.File_name)-1], file)
		if err = unix.IoctlLoopConfigure(int(device.Fd()), &config); err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) { // else another process was quicker
			return nil, fmt.Errorf("LOOP_CONFIGURE: %w", err)
		}
	}
}

// Detach detaches the device before the test ends. The file system must not be
// mounted.
func (i *Image) Detach(t testing.TB) {
	t.Helper()
	if i.device == nil {
		return
	}
	err := i.device.Close()
	i.device = nil
	if err != nil {
		t.Errorf("cannot detach %s: %v", i.Device, err)
	}
	// A machine that another test is starting has a copy of this process's mounts until
	// it unmounts them.
	const patience = 20 * time.Second
	for end := time.Now().Add(patience); i.attached(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("%s is still in use", i.Device)
			return
		}
	}
}

// attached reports whether the image is still attached to the device.
func (i *Image) attached() bool {
	name, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(i.Device), "loop/backing_file"))
	return err == nil && string(name) == i.File+"\n"
}

// Mount mounts the file system on directory dir until the test ends, with
// options as for mount -o, such as "subvol=@rootfs".
func (i *Image) Mount(t testing.TB, dir, options string) {
	t.Helper()
	args := []string{i.Device, dir}
	if options != "" {
		args = append(args, "-o", options)
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Fatalf("cannot mount %s on %s: %v\n%s", i.Device, dir, err, out)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.UMOUNT_NOFOLLOW); err != nil {
			t.Errorf("cannot unmount %s: %v", dir, err)
		}
	})
}
