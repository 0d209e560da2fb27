package grub

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

// writeEntry writes the menu entry of an environment. It ends without its kernel or its
// initrd: a kernel without its initrd would panic.
func (c config) writeEntry(out *bytes.Buffer, e boot.Entry) error {
	load, err := loadLines(e)
	if err != nil {
		return err
	}
	writeHead(out, title(e), EntryID(e.Name))
	files := "-f " + word(e.Kernel)
	if e.Initrd != "" {
		files += " -a -f " + word(e.Initrd)
	}
	fmt.Fprintf(out, "\t%s\n\tif [ %s ]; then\n\t\t%s\n", c.searchLine(e), files, strings.Join(load, "\n\t\t"))
	fmt.Fprintf(out, "\telse\n\t\techo %s\n\tfi\n}\n", quote("The kernel or the initrd of "+e.Name+" is missing."))
	return nil
}

// writeTrial writes the menu entry of a trial. If GRUB can write, it starts the kernel
// only after it has recorded that the trial is taken; it stores variables set to
// nothing as empty. If loading fails, the same entry loads the default: GRUB's variable
// fallback takes only the number of an entry (2.06, 2.12), and apt-be does not know the
// other entries.
func (c config) writeTrial(out *bytes.Buffer, t boot.Trial) error {
	e := t.Entry
	load, err := loadLines(e)
	if err != nil {
		return err
	}
	writeHead(out, title(e)+" (trial)", TrialID)
	fmt.Fprintf(out, "\t%s\n\tset apt_be_loaded=\n\tset %s=\n", c.searchLine(e), varMissing)
	fmt.Fprintf(out, "\tif [ ! -f %s ]; then\n\t\tset %s=kernel\n", word(e.Kernel), varMissing)
	if e.Initrd != "" {
		fmt.Fprintf(out, "\telif [ ! -f %s ]; then\n\t\tset %s=initrd\n", word(e.Initrd), varMissing)
	}
	out.WriteString("\tfi\n")
	conditions := []string{fmt.Sprintf(`[ -z "$%s" ]`, varMissing)}
	if c.env.Kind == WritableEnv {
		fmt.Fprintf(out, "\tset %s=\n\tset %s=%s\n", varArmed, varTried, word(t.Nonce))
		save := fmt.Sprintf("save_env --file %s %s %s %s", c.envFile(), varArmed, varTried, varMissing)
		conditions = append([]string{save}, conditions...)
	}
	indent := "\t"
	for _, condition := range append(conditions, load...) {
		fmt.Fprintf(out, "%sif %s; then\n", indent, condition)
		indent += "\t"
	}
	fmt.Fprintf(out, "%sset apt_be_loaded=yes\n", indent)
	for len(indent) > 1 {
		indent = indent[1:]
		fmt.Fprintf(out, "%sfi\n", indent)
	}
	if err := c.writeInstead(out, e.Name); err != nil {
		return err
	}
	out.WriteString("}\n")
	return nil
}

// writeInstead loads the default in a trial's entry whose files cannot be loaded.
func (c config) writeInstead(out *bytes.Buffer, name string) error {
	for _, e := range c.menu.Entries {
		if e.Name != c.menu.Default {
			continue
		}
		load, err := loadLines(e)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\tif [ -z \"$apt_be_loaded\" ]; then\n\t\techo %s\n\t\t%s\n\t\t%s\n\tfi\n",
			quote("The trial of "+name+" can't be started. Going on with "+e.Name+"."),
			c.searchLine(e), strings.Join(load, "\n\t\t"))
	}
	return nil
}

// writeHead begins a menu entry. all_video keeps GRUB from booting in blind mode on
// EFI; not every platform has it. The words in apt_be_options come from grub.cfg.
func writeHead(out *bytes.Buffer, title, id string) {
	fmt.Fprintf(out, "menuentry %s --class debian --class gnu-linux --class os $apt_be_options --id %s {\n", quote(title), word(id))
	out.WriteString("\tif [ x$feature_all_video_module = xy ]; then insmod all_video; fi\n")
	out.WriteString("\tinsmod gzio\n")
}

// searchLine finds the file system with the kernel.
func (c config) searchLine(e boot.Entry) string {
	uuid := e.FSUUID
	if c.kernelFSUUID != "" {
		uuid = c.kernelFSUUID
	}
	return "search --no-floppy --fs-uuid --set=root " + word(uuid)
}

// loadLines returns the commands that load a kernel and its initrd.
func loadLines(e boot.Entry) ([]string, error) {
	parameters, err := e.Parameters()
	if err != nil {
		return nil, err
	}
	linux := []string{"linux", word(e.Kernel)}
	for _, parameter := range parameters {
		linux = append(linux, word(parameter))
	}
	lines := []string{strings.Join(linux, " ")}
	if e.Initrd != "" {
		lines = append(lines, "initrd "+word(e.Initrd))
	}
	return lines, nil
}

// title returns the title in the menu. GRUB finds its default by title or id, so no
// title may equal the id of another entry: a title that could gets a space at its end.
func title(e boot.Entry) string {
	text := boot.OneLine(e.Title)
	switch {
	case text == "":
		return e.Name
	case strings.HasPrefix(text, "apt-be"):
		return text + " "
	}
	return text
}
