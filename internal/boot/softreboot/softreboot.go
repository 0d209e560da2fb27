// Package softreboot prepares a soft-reboot into another root: the running kernel
// continues, and all of userspace, including init, restarts from the mount at
// /run/nextroot (systemd-soft-reboot.service(8), systemd 254 and later). `systemctl
// soft-reboot` does it. Since systemd 255, a plain `systemctl reboot` does it too while
// a file system is mounted there, unless SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT=1 is in its
// environment.
//
// /run survives a soft-reboot, with all files in it, as do the kernel's boot ID and
// command line.
package softreboot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

const (
	nextRoot = "/run/nextroot"
	// TrialFile contains the nonce of the prepared trial. It survives the soft-reboot,
	// and the environment on trial removes it.
	TrialFile = "/run/apt-be/soft-trial"
	// flagsFile contains the mount flags for Release, as a number.
	flagsFile = "/run/apt-be/soft-flags"
)

// ErrTaken reports that another program uses /run/nextroot.
var ErrTaken = errors.New("/run/nextroot is in use")

// ErrHidden reports that systemd does not see the mounts of this process.
var ErrHidden = errors.New("this process has mounts of its own")

// Prepare mounts the subvolume at a path from the top level of the file system on
// device at systemd's next root, and records the nonce of the trial. The mount is
// writable and has the flags of the running root. Until Release, setuid programs in it
// have no effect, because every user can reach it there. Prepare first reverses an
// earlier Prepare. The errors are ErrTaken and ErrHidden.
func Prepare(device, subvolume, nonce string) error {
	if err := prepare(device, subvolume, nonce); err != nil {
		return fmt.Errorf("cannot prepare a soft-reboot into %s: %w", subvolume, err)
	}
	return nil
}

func prepare(device, subvolume, nonce string) error {
	if err := checkSeen(); err != nil {
		return err
	}
	if err := Undo(); err != nil {
		return err
	}
	if err := checkFree(); err != nil {
		return err
	}
	flags, err := rootFlags()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(TrialFile), 0o755); err != nil {
		return err
	}
	// The note is written first: it shows that apt-be may unmount the mount.
	if err := durable.WriteFile(TrialFile, []byte(nonce+"\n"), 0o600); err != nil {
		return err
	}
	err = durable.WriteFile(flagsFile, fmt.Appendln(nil, flags), 0o600)
	if err == nil {
		err = os.MkdirAll(nextRoot, 0o755)
	}
	if err == nil {
		if err = unix.Mount(device, nextRoot, "btrfs", flags|unreleased, "subvol=/"+subvolume); err != nil {
			err = &fs.PathError{Op: "mount", Path: nextRoot, Err: err}
		}
	}
	if err != nil {
		return errors.Join(err, Undo())
	}
	return nil
}

// Undo reverses Prepare. It does nothing without a Prepare.
func Undo() error {
	prepared, err := Prepared()
	if err != nil || prepared == "" {
		return err
	}
	for {
		err := unix.Unmount(nextRoot, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // no mount is left
		}
		if err != nil {
			return fmt.Errorf("cannot unmount %s: %w", nextRoot, err)
		}
	}
	if err := os.Remove(nextRoot); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("cannot cancel a soft-reboot: %w", err)
	}
	if err := os.Remove(flagsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot cancel a soft-reboot: %w", err)
	}
	if err := os.Remove(TrialFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot cancel a soft-reboot: %w", err)
	}
	return nil
}

// Prepared returns the nonce that Prepare has recorded, or "". After a soft-reboot it
// is the nonce of the trial that has started.
func Prepared() (nonce string, err error) {
	text, err := regular.ReadFile(TrialFile, regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot determine whether a soft-reboot is prepared: %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}

// checkSeen checks that this process has the same mounts as systemd.
func checkSeen() error {
	own, err := os.Readlink("/proc/self/ns/mnt")
	if err != nil {
		return err
	}
	init, err := os.Readlink("/proc/1/ns/mnt")
	if err != nil {
		return err
	}
	if own != init {
		return ErrHidden
	}
	return nil
}

// checkFree checks that /run/nextroot does not exist or is an empty directory, as an
// earlier soft-reboot leaves it.
func checkFree() error {
	info, err := os.Lstat(nextRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: not a directory", ErrTaken)
	}
	mounted, err := mountinfo.Mounted(nextRoot)
	if err != nil {
		return err
	}
	if mounted {
		return fmt.Errorf("%w: something is mounted there", ErrTaken)
	}
	entries, err := os.ReadDir(nextRoot)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("%w: it contains files", ErrTaken)
	}
	return err
}
