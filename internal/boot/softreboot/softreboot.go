// Package softreboot prepares a soft-reboot into another root: the running
// kernel stays, and all of userspace, init included, is started anew from
// what is mounted at /run/nextroot (systemd-soft-reboot.service(8), systemd
// 254 and later). `systemctl soft-reboot` does it. Since systemd 255 a plain
// `systemctl reboot` does too while something is mounted there, unless
// SYSTEMCTL_SKIP_AUTO_SOFT_REBOOT=1 is in its environment.
//
// /run outlives a soft-reboot, and with it all that is noted there, and so do
// the boot id and the command line of the kernel.
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
	// TrialFile holds the nonce of the trial that is prepared. After the
	// soft-reboot it is still there, for the environment on trial to remove.
	TrialFile = "/run/apt-be/soft-trial"
	// flagsFile holds the flags of the mount that Release gives it, as a number.
	flagsFile = "/run/apt-be/soft-flags"
)

// ErrTaken says that somebody else has put something at /run/nextroot.
var ErrTaken = errors.New("/run/nextroot is in use")

// ErrHidden says that a mount that this process makes is not seen by systemd.
var ErrHidden = errors.New("this process has mounts of its own")

// Prepare mounts the subvolume at a path from the top level of the file system
// on device where systemd looks for its next root, and notes the nonce of
// the trial. It has the flags that the running root is mounted with, and is
// writable; until Release, setuid programs in it have no effect, since anybody can
// walk to it there. What was prepared before is undone first. The errors are
// ErrTaken and ErrHidden.
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
	// First the note that what is mounted is ours to unmount.
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

// Undo takes back what Prepare did, if anything.
func Undo() error {
	prepared, err := Prepared()
	if err != nil || prepared == "" {
		return err
	}
	for {
		err := unix.Unmount(nextRoot, unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
			break // nothing is mounted there any more
		}
		if err != nil {
			return fmt.Errorf("cannot unmount %s: %w", nextRoot, err)
		}
	}
	if err := os.Remove(nextRoot); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) {
		return fmt.Errorf("cannot take back a soft-reboot: %w", err)
	}
	if err := os.Remove(flagsFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot take back a soft-reboot: %w", err)
	}
	if err := os.Remove(TrialFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot take back a soft-reboot: %w", err)
	}
	return nil
}

// Prepared returns the nonce of the trial that Prepare has noted, or "". After
// a soft-reboot it is that of the trial that has begun.
func Prepared() (nonce string, err error) {
	text, err := regular.ReadFile(TrialFile, regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot find out whether a soft-reboot is prepared: %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}

// checkSeen checks that this process has the mounts that systemd has.
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

// checkFree checks that there is nothing at /run/nextroot but perhaps an
// empty directory, as an earlier soft-reboot leaves it.
func checkFree() error {
	info, err := os.Lstat(nextRoot)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%w: it is no directory", ErrTaken)
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
		err = fmt.Errorf("%w: there are files in it", ErrTaken)
	}
	return err
}
