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

// running is the subvolume that each run's machine has as its root.
const running = "@rootfs"

// place is where the disk of a bench is mounted: outside the source tree, so
// that nothing that searches that one looks into machines.
const place = "/run/apt-be-bench"

// imageSize is what the image may grow to. It is sparse.
const imageSize = 32 << 30

// Disk is a btrfs file system, as mkfs.btrfs and mount make it by default, on a
// loop device. Machines are subvolumes of it.
type Disk struct {
	dir    string // where the image is
	top    string // where its top level is mounted
	device string
	uuid   string
}

// newDisk makes an image in a new directory below dir.
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

// removeStale removes the disks of a bench that was killed.
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

// Close removes it.
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

// path is where a subvolume is.
func (d *Disk) path(name string) string { return filepath.Join(d.top, name) }

// snapshot makes a writable snapshot.
func (d *Disk) snapshot(from, to string) error {
	if _, err := os.Lstat(d.path(to)); err == nil {
		return fmt.Errorf("cannot make a snapshot: %s is there", to)
	}
	_, err := output("btrfs", "subvolume", "snapshot", d.path(from), d.path(to))
	return err
}

// clear destroys what a run has made, which is all whose name begins with "@",
// and waits until its space is free.
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
	// What is in another one goes before that.
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
	// A sync makes the kernel begin at once to free what was destroyed.
	_, err = output("btrfs", "filesystem", "sync", d.top)
	if err == nil {
		_, err = output("btrfs", "subvolume", "sync", d.top)
	}
	if err == nil {
		_, err = output("btrfs", "filesystem", "sync", d.top)
	}
	return err
}

// space is what is in use once all is written.
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

// enter is a command in a subvolume as its running system.
func (d *Disk) enter(ctx context.Context, subvolume, archives string, command ...string) *exec.Cmd {
	var args []string
	if archives != "" {
		args = append(args, "--archives", archives)
	}
	args = append(args, d.device, subvolume, "--")
	return exec.CommandContext(ctx, "scripts/enter", append(args, command...)...)
}

// output runs a command and returns what it prints, without the last newline.
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
