package setup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
)

// HomeMount is where the registry is to be seen in every environment.
const HomeMount = "/var/lib/apt-be"

// Marks in an fstab. Each is a comment to everything else that reads it.
const (
	addedMark   = "# The next line was added by apt-be init."
	replacedTag = "# By apt-be init: " // before a line that was there
)

// Fstab is what has to be in the fstab of every environment.
type Fstab struct {
	Lines []string `json:"lines"` // to be there, with blanks between the fields
	// Replaced are mount points whose lines go.
	Replaced []string `json:"replaced,omitempty"`
}

// fstabOf is what a machine's environments need. Nothing in it is worth a
// boot that stops: a BE without /boot/grub or the registry runs well enough to
// be looked at.
func fstabOf(m Layout) Fstab {
	line := func(uuid, dir, kind, options, pass string) string {
		return fmt.Sprintf("UUID=%s %s %s %s 0 %s", uuid, dir, kind, options, pass)
	}
	f := Fstab{Lines: []string{line(m.FSUUID, HomeMount, "btrfs", "subvol="+be.HomeDir+",nosuid,nodev,nofail", "0")}}
	switch {
	case m.Loader != be.LoaderGRUB:
	case m.Boot != nil:
		// X-mount.subdir is mount(8)'s, since util-linux 2.38.
		f.Lines = append(f.Lines, line(m.Boot.UUID, "/boot/grub", m.Boot.Type, "defaults,X-mount.subdir=grub,nofail", "2"))
		f.Replaced = []string{"/boot"}
	case m.Menu != nil && m.Menu.Type != "btrfs":
		f.Lines = append(f.Lines, line(m.Menu.UUID, "/boot/grub", m.Menu.Type, "defaults,X-mount.subdir=grub,nofail", "2"))
	default:
		f.Lines = append(f.Lines, line(m.FSUUID, "/boot/grub", "btrfs", "subvol="+be.GRUBDir+",nofail", "0"))
	}
	return f
}

// mountPointOf is the second field of a line of an fstab(5), "" of a comment.
func mountPointOf(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
		return ""
	}
	return fields[1]
}

// Add puts the lines into the text of an fstab, each once. Lines for the same
// mount points, and those that are to be replaced, become comments.
func (f Fstab) Add(text string) string {
	text = f.Remove(text)
	var out strings.Builder
	for line := range strings.Lines(text) {
		dir := mountPointOf(line)
		if dir != "" && (slices.Contains(f.Replaced, dir) || slices.ContainsFunc(f.Lines, func(l string) bool { return mountPointOf(l) == dir })) {
			out.WriteString(replacedTag)
		}
		out.WriteString(line)
	}
	if text != "" && !strings.HasSuffix(text, "\n") {
		out.WriteByte('\n')
	}
	for _, line := range f.Lines {
		out.WriteString(addedMark + "\n" + line + "\n")
	}
	return out.String()
}

// Has says whether all lines are in the text of an fstab.
func (f Fstab) Has(text string) bool {
	for _, wanted := range f.Lines {
		found := false
		for line := range strings.Lines(text) {
			found = found || slices.Equal(strings.Fields(line), strings.Fields(wanted))
		}
		if !found {
			return false
		}
	}
	return true
}

// Remove takes back what Add did to the text of an fstab.
func (f Fstab) Remove(text string) string {
	var out strings.Builder
	skip := false
	for line := range strings.Lines(text) {
		bare := strings.TrimRight(line, "\n")
		switch {
		case bare == addedMark:
			skip = true
		case skip && slices.ContainsFunc(f.Lines, func(l string) bool { return mountPointOf(l) == mountPointOf(bare) }):
			skip = false
		default:
			// What came between the mark and its line is the user's.
			skip = false
			original, replaced := strings.CutPrefix(line, replacedTag)
			if replaced {
				line = original
			}
			out.WriteString(line)
		}
	}
	return out.String()
}
