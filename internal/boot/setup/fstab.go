package setup

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
)

// HomeMount is the mount point of the registry in every environment.
const HomeMount = "/var/lib/apt-be"

// Marks in an fstab, which other programs take for comments.
const (
	addedMark   = "# The next line was added by apt-be init."
	replacedTag = "# By apt-be init: " // before a replaced line
)

// Fstab has the changes of the fstab of every environment.
type Fstab struct {
	Lines []string `json:"lines"` // with blanks between the fields
	// Replaced are the mount points whose lines are removed.
	Replaced []string `json:"replaced,omitempty"`
}

// fstabOf returns the lines for a machine's environments. Their failure must not stop a
// boot: an environment without /boot/grub or the registry still starts.
func fstabOf(m Layout) Fstab {
	line := func(uuid, dir, kind, options, pass string) string {
		return fmt.Sprintf("UUID=%s %s %s %s 0 %s", uuid, dir, kind, options, pass)
	}
	f := Fstab{Lines: []string{line(m.FSUUID, HomeMount, "btrfs", "subvol="+be.HomeDir+",nosuid,nodev,nofail", "0")}}
	switch {
	case m.Loader != be.LoaderGRUB:
	case m.Boot != nil:
		// X-mount.subdir is an option of mount(8) since util-linux 2.38.
		f.Lines = append(f.Lines, line(m.Boot.UUID, "/boot/grub", m.Boot.Type, "defaults,X-mount.subdir=grub,nofail", "2"))
		f.Replaced = []string{"/boot"}
	case m.Menu != nil && m.Menu.Type != "btrfs":
		f.Lines = append(f.Lines, line(m.Menu.UUID, "/boot/grub", m.Menu.Type, "defaults,X-mount.subdir=grub,nofail", "2"))
	default:
		f.Lines = append(f.Lines, line(m.FSUUID, "/boot/grub", "btrfs", "subvol="+be.GRUBDir+",nofail", "0"))
	}
	return f
}

// mountPointOf returns the second field of a line of fstab(5), "" for a comment.
func mountPointOf(line string) string {
	fields := strings.Fields(line)
	if len(fields) < 3 || strings.HasPrefix(fields[0], "#") {
		return ""
	}
	return fields[1]
}

// Add adds the lines to the text of an fstab, each once. Existing lines of the same
// mount points, and of replaced ones, become comments.
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

// Has reports whether the text of an fstab has all lines.
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

// Remove reverses Add.
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
			// Text between the mark and its line is the user's.
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
