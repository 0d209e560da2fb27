package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// running is the subvolume that is the root of each run's machine.
const running = "@rootfs"

// place is the mount point of a bench's disk. It is outside of the source tree, so that
// searches of the source tree do not enter machines.
const place = "/run/apt-be-bench"

// imageSize is the maximum size of the image, which is sparse.
const imageSize = 32 << 30

// Disk is a btrfs file system on a loop device, with the defaults of mkfs.btrfs and
// mount. Machines are subvolumes of it.
type Disk struct {
	dir    string // the directory of the image
	top    string // the mount point of the top level
	device string
	uuid   string
}

// newDisk creates an image in a new directory below dir.
func newDisk(dir string) (d *Disk, err error) {
	work, err := os.MkdirTemp(dir, ".disk.")
	if err != nil {
		return nil, fmt.Errorf("cannot make a disk: %w", err)
	}
	d = &Disk{dir: work, top: place}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close())
		}
	}()
	image := filepath.Join(work, "image")
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return nil, fmt.Errorf("cannot make a disk: %w", err)
	}
	if err := os.Truncate(image, imageSize); err != nil {
		return nil, fmt.Errorf("cannot make a disk: %w", err)
	}
	if err := os.MkdirAll(d.top, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a disk: %w", err)
	}
	if _, err := output("mkfs.btrfs", "-q", image); err != nil {
		return nil, err
	}
	if d.device, err = output("losetup", "--find", "--show", image); err != nil {
		return nil, err
	}
	if _, err := output("mount", "-o", "subvolid=5", d.device, d.top); err != nil {
		return nil, err
	}
	d.uuid, err = output("findmnt", "-n", "-o", "UUID", d.top)
	return d, err
}

// removeStale removes the disks of killed benches.
func removeStale(dir string) error {
	stale, err := filepath.Glob(filepath.Join(dir, ".disk.*"))
	if err != nil {
		return err
	}
	for _, work := range stale {
		d := &Disk{dir: work, top: place}
		line, err := output("losetup", "-j", filepath.Join(work, "image"))
		if err != nil {
			return err
		}
		d.device, _, _ = strings.Cut(line, ":")
		if err := d.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Close removes the disk.
func (d *Disk) Close() error {
	var errs []error
	if d.device != "" {
		if _, err := output("mountpoint", "-q", d.top); err == nil {
			_, err := output("umount", d.top)
			errs = append(errs, err)
		}
		_, err := output("losetup", "-d", d.device)
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := os.Remove(d.top); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot remove the disk: %w", err)
	}
	return os.RemoveAll(d.dir)
}

// path returns the path of a subvolume.
func (d *Disk) path(name string) string { return filepath.Join(d.top, name) }

// snapshot creates a writable snapshot.
func (d *Disk) snapshot(from, to string) error {
	if _, err := os.Lstat(d.path(to)); err == nil {
		return fmt.Errorf("cannot make a snapshot: %s is there", to)
	}
	_, err := output("btrfs", "subvolume", "snapshot", d.path(from), d.path(to))
	return err
}

// clear deletes the subvolumes of a run, whose names begin with "@", and waits until
// their space is free.
func (d *Disk) clear() error {
	list, err := output("btrfs", "subvolume", "list", d.top)
	if err != nil {
		return err
	}
	var names []string
	for _, line := range strings.Split(list, "\n") {
		if _, name, ok := strings.Cut(line, " path "); ok && strings.HasPrefix(name, "@") {
			names = append(names, name)
		}
	}
	// Nested subvolumes are deleted first.
	slices.Sort(names)
	slices.Reverse(names)
	for _, name := range names {
		if _, err := output("btrfs", "subvolume", "delete", d.path(name)); err != nil {
			return err
		}
	}
	left, err := filepath.Glob(d.path("@*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.RemoveAll(name); err != nil {
			return fmt.Errorf("cannot clear the disk: %w", err)
		}
	}
	// A sync makes the kernel free the deleted subvolumes immediately.
	_, err = output("btrfs", "filesystem", "sync", d.top)
	if err == nil {
		_, err = output("btrfs", "subvolume", "sync", d.top)
	}
	if err == nil {
		_, err = output("btrfs", "filesystem", "sync", d.top)
	}
	return err
}

// space returns the used space after all data was written.
func (d *Disk) space() (Space, error) {
	if _, err := output("btrfs", "filesystem", "sync", d.top); err != nil {
		return Space{}, err
	}
	text, err := output("btrfs", "filesystem", "df", "-b", d.top)
	if err != nil {
		return Space{}, err
	}
	return parseSpace(text)
}

// enter returns a command that runs in a subvolume as the root of its running system.
func (d *Disk) enter(ctx context.Context, subvolume, archives string, command ...string) *exec.Cmd {
	var args []string
	if archives != "" {
		args = append(args, "--archives", archives)
	}
	args = append(args, d.device, subvolume, "--")
	return exec.CommandContext(ctx, "scripts/enter", append(args, command...)...)
}

// output runs a command and returns its output, without the last newline.
func output(name string, args ...string) (string, error) {
	return outputOf(exec.Command(name, args...))
}

func outputOf(command *exec.Cmd) (string, error) {
	var messages strings.Builder
	command.Stderr = &messages
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w\n%s", strings.Join(command.Args, " "), err, messages.String())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}
