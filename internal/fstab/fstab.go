// Package fstab edits the texts that name the root subvolume of a boot
// environment: the / line of /etc/fstab, and the kernel's command line. It is
// pure, and it keeps every byte that it has no reason to change: these are
// the user's files.
package fstab

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoRoot says that an fstab has no line for /.
	ErrNoRoot = errors.New("no line for /")
	// ErrNotBtrfs says that an fstab's / is of another type than btrfs.
	ErrNotBtrfs = errors.New("the line for / is not of type btrfs")
	// ErrBadSubvolume says that a subvolume's path can't be written in
	// mount options.
	ErrBadSubvolume = errors.New("not a path for mount options")
)

// SetRootSubvolume makes the / line of an fstab (fstab(5)) mount subvol, a
// path from the top of the file system, such as "@be/2026-11-20": it replaces
// the value of subvol= or adds one, and removes subvolid=, which would
// contradict. A leading slash is written where there was one. All other bytes
// stay as they are. Type auto passes for btrfs.
//
// If there is more than one line for /, all are changed. The errors are
// [ErrNoRoot], [ErrNotBtrfs] and [ErrBadSubvolume]; out is fstab then.
func SetRootSubvolume(fstab []byte, subvol string) (out []byte, changed bool, err error) {
	if err := checkSubvolume(subvol); err != nil {
		return fstab, false, err
	}
	found := false
	for line := range bytes.Lines(fstab) {
		entry, isEntry := parseLine(string(line))
		if !isEntry || entry.mountPoint() != "/" {
			out = append(out, line...)
			continue
		}
		if !entry.isBtrfs() {
			return fstab, false, fmt.Errorf("%w but %q", ErrNotBtrfs, entry.field(2))
		}
		found = true
		edited := entry.withOptions(func(options string) string {
			return setSubvolume(options, subvol, escape)
		})
		out = append(out, edited...)
	}
	if !found {
		return fstab, false, ErrNoRoot
	}
	return out, !bytes.Equal(out, fstab), nil
}

// SetSubvolumes makes the entries of an fstab that mount btrfs subvolumes at some
// places mount those that are given, by place, and removes entries for which "" is
// given. All other bytes stay as they are. Entries of other types stay, too. The
// error is [ErrBadSubvolume]; out is fstab then.
func SetSubvolumes(fstab []byte, subvolumes map[string]string) (out []byte, changed bool, err error) {
	for text := range bytes.Lines(fstab) {
		l, isEntry := parseLine(string(text))
		subvol, ours := "", false
		if isEntry && l.isBtrfs() {
			subvol, ours = subvolumes[l.entry().Dir]
		}
		switch {
		case !ours:
			out = append(out, text...)
			continue
		case subvol == "":
			continue
		}
		if err := checkSubvolume(subvol); err != nil {
			return fstab, false, err
		}
		edited := l.withOptions(func(options string) string { return setSubvolume(options, subvol, escape) })
		out = append(out, edited...)
	}
	return out, !bytes.Equal(out, fstab), nil
}

// RootSubvolume tells what subvolume the / line of an fstab mounts, without a
// leading slash: "" if its options don't say. The errors are [ErrNoRoot] and
// [ErrNotBtrfs]. Of more lines for / the first counts, as with mount(8).
func RootSubvolume(fstab []byte) (string, error) {
	for line := range bytes.Lines(fstab) {
		entry, isEntry := parseLine(string(line))
		if !isEntry || entry.mountPoint() != "/" {
			continue
		}
		if !entry.isBtrfs() {
			return "", fmt.Errorf("%w but %q", ErrNotBtrfs, entry.field(2))
		}
		return strings.TrimPrefix(unescape(subvolumeOf(entry.field(3))), "/"), nil
	}
	return "", ErrNoRoot
}

// checkSubvolume refuses what options can't carry: a comma or a double quote
// ends a value, and no escape for them is understood everywhere.
func checkSubvolume(subvol string) error {
	if strings.Trim(subvol, "/") == "" || strings.ContainsAny(subvol, ",\"\x00\n") {
		return fmt.Errorf("%w: %q", ErrBadSubvolume, subvol)
	}
	return nil
}
