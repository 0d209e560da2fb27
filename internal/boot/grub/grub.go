// Package grub writes the entries of boot environments for GRUB 2.
package grub

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

const (
	beginMark = "### BEGIN apt-be"
	endMark   = "### END apt-be"
	note      = "# Written by apt-be, which replaces all between BEGIN and END.\n"
)

// EntryID is the id of a boot environment's menu entry, by which GRUB's
// default and next_entry name it.
func EntryID(name string) string { return "apt-be-" + name }

// CustomEntries puts one menu entry for each of entries into the text of a
// custom.cfg, which /etc/grub.d/41_custom sources from beside grub.cfg. They
// are in one marked block, which takes the place of the one in old or comes
// last; without entries there is none. What is outside the block stays as it
// is. The error is that of [boot.Entry.Parameters].
func CustomEntries(old []byte, entries []boot.Entry) ([]byte, error) {
	block, err := makeBlock(entries)
	if err != nil {
		return nil, err
	}
	before, after, found := cutBlocks(old)
	out := bytes.Clone(before)
	if len(block) > 0 && !found && len(out) > 0 && !bytes.HasSuffix(out, []byte("\n")) {
		out = append(out, '\n')
	}
	out = append(out, block...)
	return append(out, after...), nil
}

func makeBlock(entries []boot.Entry) ([]byte, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	var block bytes.Buffer
	block.WriteString(beginMark + "\n" + note)
	for _, entry := range entries {
		if err := writeEntry(&block, entry); err != nil {
			return nil, fmt.Errorf("cannot write a menu entry for %s: %w", entry.Name, err)
		}
	}
	block.WriteString(endMark + "\n")
	return block.Bytes(), nil
}

// writeEntry writes one menuentry. all_video is what keeps GRUB from booting
// in blind mode on EFI; it does not exist on every platform.
func writeEntry(block *bytes.Buffer, e boot.Entry) error {
	parameters, err := e.Parameters()
	if err != nil {
		return err
	}
	linux := []string{"linux", word(e.Kernel)}
	for _, parameter := range parameters {
		linux = append(linux, word(parameter))
	}
	fmt.Fprintf(block, "menuentry %s --class debian --class gnu-linux --class os --id %s {\n", quote(e.Title), word(EntryID(e.Name)))
	fmt.Fprintf(block, "\tif [ x$feature_all_video_module = xy ]; then insmod all_video; fi\n")
	fmt.Fprintf(block, "\tinsmod gzio\n\tinsmod part_gpt\n\tinsmod part_msdos\n\tinsmod btrfs\n")
	fmt.Fprintf(block, "\tsearch --no-floppy --fs-uuid --set=root %s\n", word(e.FSUUID))
	fmt.Fprintf(block, "\t%s\n", strings.Join(linux, " "))
	if e.Initrd != "" {
		fmt.Fprintf(block, "\tinitrd %s\n", word(e.Initrd))
	}
	block.WriteString("}\n")
	return nil
}

// cutBlocks takes all marked blocks out: before is what precedes the first,
// after the rest. A mark without its partner goes alone: what follows it may
// be the user's.
func cutBlocks(text []byte) (before, after []byte, found bool) {
	var kept []byte
	place := -1 // of the first block, in kept
	begin := -1 // of the block that is open, in kept
	for line := range bytes.Lines(text) {
		switch strings.TrimSpace(string(line)) {
		case beginMark:
			begin = len(kept)
		case endMark:
			if begin >= 0 {
				kept = kept[:begin]
				if place < 0 {
					place = begin
				}
			}
			begin = -1
		default:
			kept = append(kept, line...)
		}
	}
	if place < 0 {
		return kept, nil, false
	}
	return kept[:place], kept[place:], true
}
