package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"
)

// attach makes a loop device over a new sparse btrfs image of size bytes. The
// image has no name any more, and the kernel detaches the device when the last
// mount and the returned file are closed: a killed test leaves neither behind.
func attach(dir string, size int64) (*os.File, error) {
	image, err := os.CreateTemp(dir, "machine.*.img")
	if err != nil {
		return nil, fmt.Errorf("cannot create image: %w", err)
	}
	defer image.Close()
	defer os.Remove(image.Name())
	if err := image.Truncate(size); err != nil {
		return nil, fmt.Errorf("cannot size image: %w", err)
	}
	if out, err := exec.Command("mkfs.btrfs", "-q", image.Name()).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot make file system: %w: %s", err, out)
	}
	return attachFile(image)
}

// attachFile finds a free loop device and configures it, again and again as
// long as somebody else takes the same one first.
func attachFile(image *os.File) (*os.File, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot make loop device: %w", err)
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("cannot find a free loop device: %w", err)
		}
		device, err := openLoop(number)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{
			Fd:   uint32(image.Fd()),
			Info: unix.LoopInfo64{Flags: unix.LO_FLAGS_AUTOCLEAR},
		}
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("cannot configure loop device: %w", err)
		}
	}
}

// openLoop opens a loop device, and makes its node where /dev is no devtmpfs
// and so nobody else does.
func openLoop(number int) (*os.File, error) {
	const loopMajor = 7
	name := fmt.Sprintf("/dev/loop%d", number)
	err := unix.Mknod(name, unix.S_IFBLK|0o660, int(unix.Mkdev(loopMajor, uint32(number))))
	if err != nil && !errors.Is(err, unix.EEXIST) {
		return nil, fmt.Errorf("cannot make %s: %w", name, err)
	}
	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open loop device: %w", err)
	}
	return device, nil
}

// mountTop mounts the top-level subvolume of a btrfs device where nobody else
// sees it: it goes when the returned file is closed.
func mountTop(device string) (*os.File, error) {
	fs, err := unix.Fsopen("btrfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", device, err)
	}
	defer unix.Close(fs)
	for _, option := range [][2]string{{"source", device}, {"subvolid", "5"}} {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return nil, fmt.Errorf("cannot mount %s with %s=%s: %w", device, option[0], option[1], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", device, err)
	}
	top, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot mount %s: %w", device, err)
	}
	return os.NewFile(uintptr(top), device), nil
}
