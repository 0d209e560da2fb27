package fstab

import (
	"bytes"
	"path"
	"slices"
	"strings"
)

// Entry is a line of an fstab (fstab(5)).
type Entry struct {
	Source  string // such as UUID=1b2c-d
	Dir     string // the mount point
	Type    string
	Options string // as written
}

// Subvolume returns the path, from the top of a btrfs file system, of the subvolume
// that the entry mounts. It returns "" for other types, or if the options do not name
// it.
func (e Entry) Subvolume() string {
	if e.Type != "btrfs" {
		return ""
	}
	return strings.Trim(unescape(subvolumeOf(e.Options)), "/")
}

// Entries returns the entries of an fstab, in order.
func Entries(fstab []byte) []Entry {
	var entries []Entry
	for text := range bytes.Lines(fstab) {
		if l, isEntry := parseLine(string(text)); isEntry {
			entries = append(entries, l.entry())
		}
	}
	return entries
}

// Bound returns the directories that entries bind to other places (mount(8)), keyed by
// these places.
func Bound(entries []Entry) map[string]string {
	sources := map[string]string{}
	for _, e := range entries {
		options := strings.Split(e.Options, ",")
		if path.IsAbs(e.Source) && (slices.Contains(options, "bind") || slices.Contains(options, "rbind")) {
			sources[e.Dir] = path.Clean(e.Source)
		}
	}
	return sources
}

func (l line) entry() Entry {
	return Entry{
		Source:  unescape(l.field(0)),
		Dir:     path.Clean(l.mountPoint()),
		Type:    l.field(2),
		Options: l.field(3),
	}
}

// BesideRoot returns an entry that mounts another subvolume of the root's file system
// at dir, with the options of the / line except the subvolume. Errors: [ErrNoRoot],
// [ErrNotBtrfs], [ErrBadSubvolume].
func BesideRoot(fstab []byte, dir, subvol string) (Entry, error) {
	if err := checkSubvolume(subvol); err != nil {
		return Entry{}, err
	}
	if _, err := RootSubvolume(fstab); err != nil {
		return Entry{}, err
	}
	for _, e := range Entries(fstab) {
		if e.Dir == "/" {
			return Entry{Source: e.Source, Dir: dir, Type: "btrfs", Options: setSubvolume(e.Options, subvol, escape)}, nil
		}
	}
	return Entry{}, ErrNoRoot
}

// Append adds an entry at the end of an fstab. Its sixth field is 0, because fsck does
// not check btrfs at boot.
func Append(fstab []byte, e Entry) []byte {
	out := bytes.Clone(fstab)
	if len(out) > 0 && out[len(out)-1] != '\n' {
		out = append(out, '\n')
	}
	fields := []string{escape(e.Source), escape(e.Dir), e.Type, e.Options, "0", "0\n"}
	return append(out, strings.Join(fields, " ")...)
}

// Remove removes the entries for which match returns true. All other bytes stay
// unchanged.
func Remove(fstab []byte, match func(Entry) bool) (out []byte, changed bool) {
	for text := range bytes.Lines(fstab) {
		if l, isEntry := parseLine(string(text)); isEntry && match(l.entry()) {
			changed = true
			continue
		}
		out = append(out, text...)
	}
	return out, changed
}
