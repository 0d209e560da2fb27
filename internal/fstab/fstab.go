// Package fstab edits the texts that name the root subvolume of a boot environment: the
// / line of /etc/fstab, and the kernel command line. It is pure, and changes no other
// bytes, because these are the user's files.
package fstab

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrNoRoot reports that an fstab has no line for /.
	ErrNoRoot = errors.New("no line for /")
	// ErrNotBtrfs reports that an fstab's / has another type than btrfs.
	ErrNotBtrfs = errors.New("the line for / is not of type btrfs")
	// ErrBadSubvolume reports that a subvolume's path cannot be written as a mount
	// option.
	ErrBadSubvolume = errors.New("not a path for mount options")
)

// SetRootSubvolume makes the / line of an fstab (fstab(5)) mount subvol, a path from
// the top of the file system, such as "@be/2026-11-20". It replaces or adds subvol=,
// keeps a leading slash if there was one, and removes subvolid=, which would
// contradict. All other bytes stay unchanged. Type auto is accepted as btrfs.
//
// If there are several lines for /, it changes all. Errors: [ErrNoRoot], [ErrNotBtrfs],
// [ErrBadSubvolume]; then out is fstab.
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

// SetSubvolumes makes the btrfs entries for some places mount the given subvolumes, by
// place; an entry with the subvolume "" is removed. All other bytes, and entries of
// other types, stay unchanged. Error: [ErrBadSubvolume]; then out is fstab.
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

// RootSubvolume returns the subvolume that the / line of an fstab mounts, without a
// leading slash, or "" if the options do not name it. If there are several lines for /,
// the first counts, as for mount(8). Errors: [ErrNoRoot], [ErrNotBtrfs].
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

// checkSubvolume rejects paths that options cannot contain: a comma or a double quote
// ends a value, and not all programs understand an escape for them.
func checkSubvolume(subvol string) error {
	if strings.Trim(subvol, "/") == "" || strings.ContainsAny(subvol, ",\"\x00\n") {
		return fmt.Errorf("%w: %q", ErrBadSubvolume, subvol)
	}
	return nil
}
