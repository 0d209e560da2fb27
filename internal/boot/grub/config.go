package grub

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/internal/boot"
)

// TrialID is the id of a trial's menu entry. The id of an environment always has a
// hyphen at that place.
const TrialID = "apt-be.trial"

// EntryID returns the id of a boot environment's menu entry, for GRUB's variable
// default.
func EntryID(name string) string { return "apt-be-" + name }

var errNoDefault = errors.New("no entry of the menu has the name of the default")

// config has everything that the text of apt-be.cfg depends on.
type config struct {
	menu         boot.Menu
	env          Env
	probe        string // the value that GRUB writes as a test
	kernelFSUUID string // the file system with the kernels; "" if it is the entry's
}

// header has the parts of the menu that apt-be reads again. For GRUB they are comments.
type header struct{ fallback, trial, probe string }

const note = "# Written by apt-be, which replaces it.\n"

func (h header) String() string {
	return fmt.Sprintf("%s# default: %s\n# trial: %s\n# probe: %s\n", note, boot.OneLine(h.fallback), boot.OneLine(h.trial), boot.OneLine(h.probe))
}

func parseHeader(text []byte) header {
	var h header
	for _, field := range []struct {
		name string
		to   *string
	}{{"default", &h.fallback}, {"trial", &h.trial}, {"probe", &h.probe}} {
		for line := range bytes.Lines(text) {
			if !bytes.HasPrefix(line, []byte("#")) {
				break
			}
			if value, found := bytes.CutPrefix(line, []byte("# "+field.name+": ")); found {
				*field.to = string(bytes.TrimSpace(value))
			}
		}
	}
	return h
}

// text returns apt-be's part of GRUB's menu, which grub.cfg sources.
func (c config) text() ([]byte, error) {
	named := func(e boot.Entry) bool { return e.Name == c.menu.Default }
	if c.menu.Default != "" && !slices.ContainsFunc(c.menu.Entries, named) {
		return nil, fmt.Errorf("cannot make %s the default: %w", c.menu.Default, errNoDefault)
	}
	var out bytes.Buffer
	h := header{fallback: c.menu.Default, probe: c.probe}
	if c.menu.Trial != nil {
		h.trial = c.menu.Trial.Nonce
	}
	out.WriteString(h.String())
	c.writeEnv(&out)
	c.writeDefault(&out)
	for _, entry := range c.menu.Entries {
		if err := c.writeEntry(&out, entry); err != nil {
			return nil, fmt.Errorf("cannot write a menu entry for %s: %w", entry.Name, err)
		}
	}
	if c.menu.Trial != nil {
		if err := c.writeTrial(&out, *c.menu.Trial); err != nil {
			return nil, fmt.Errorf("cannot write a menu entry for the trial of %s: %w", c.menu.Trial.Entry.Name, err)
		}
	}
	return out.Bytes(), nil
}

// modules load the drivers of the file systems. GRUB's core may or may not contain
// them.
const modules = "insmod part_gpt\ninsmod part_msdos\ninsmod btrfs\ninsmod ext2\ninsmod fat\n"

// envFile is the environment block's name for GRUB, after writeEnv.
func (c config) envFile() string { return `"($apt_be_device)"` + word(c.env.Name) }

// writeEnv reads the environment block, and makes GRUB write it once as a test.
func (c config) writeEnv(out *bytes.Buffer) {
	for _, name := range []string{varArmed, varTried, varMissing, varProbe} {
		fmt.Fprintf(out, "set %s=\n", name)
	}
	out.WriteString(modules)
	if c.env.Kind == NoEnv {
		return
	}
	fmt.Fprintf(out, "unset apt_be_device\n")
	fmt.Fprintf(out, "search --no-floppy --fs-uuid --set=apt_be_device %s\n", word(c.env.FSUUID))
	fmt.Fprintf(out, "if [ -n \"$apt_be_device\" ]; then\n")
	fmt.Fprintf(out, "\tif [ -f %s ]; then\n", c.envFile())
	fmt.Fprintf(out, "\t\tload_env --file %s %s %s %s %s\n", c.envFile(), varArmed, varTried, varMissing, varProbe)
	if c.env.Kind == WritableEnv && c.probe != "" {
		fmt.Fprintf(out, "\t\tif [ \"$%s\" != %s ]; then\n", varProbe, word(c.probe))
		fmt.Fprintf(out, "\t\t\tset %s=%s\n", varProbe, word(c.probe))
		fmt.Fprintf(out, "\t\t\tsave_env --file %s %s\n", c.envFile(), varProbe)
		fmt.Fprintf(out, "\t\tfi\n")
	}
	fmt.Fprintf(out, "\tfi\nfi\n")
}

// writeDefault selects the entry that boots without the user's choice.
func (c config) writeDefault(out *bytes.Buffer) {
	if c.menu.Default == "" {
		return
	}
	fmt.Fprintf(out, "set default=%s\n", word(EntryID(c.menu.Default)))
	if c.menu.Trial != nil && c.menu.Trial.Nonce != "" && c.env.Kind != NoEnv {
		fmt.Fprintf(out, "if [ \"$%s\" = %s ]; then\n\tset default=%s\nfi\n", varArmed, word(c.menu.Trial.Nonce), TrialID)
	}
}
