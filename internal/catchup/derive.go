package catchup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/inside"
)

// derivation is a command that generates files from other files.
type derivation struct {
	command []string
	inputs  []string // paths of files and directories
	output  string   // the generated file or directory; the source's version is skipped
}

// quick are the derivations that take a moment.
var quick = []derivation{
	{[]string{"ldconfig"}, []string{"usr/local/lib", "etc/ld.so.conf", "etc/ld.so.conf.d"}, "etc/ld.so.cache"},
	{[]string{"update-ca-certificates"}, []string{"usr/local/share/ca-certificates", "etc/ca-certificates.conf"}, ""},
	{[]string{"systemd-hwdb", "--usr", "update"}, []string{"etc/udev/hwdb.d"}, "usr/lib/udev/hwdb.bin"},
}

// modules are the directories of kernel modules; the second one exists where /lib is a
// directory.
var modules = []string{"usr/lib/modules", "lib/modules"}

// ofModules returns a derivation by depmod(8) for each kernel whose modules are carried
// and that the target still has.
func ofModules(found *drift.Drift, root string) (all []derivation) {
	known := map[string]bool{}
	for _, c := range found.Changes {
		for _, dir := range modules {
			below, ok := strings.CutPrefix(c.Path, dir+"/")
			version, _, inside := strings.Cut(below, "/")
			if !ok || !inside || known[version] {
				continue
			}
			known[version] = true
			// The kernel's package contains this file; depmod does not generate it.
			if _, err := inroot.Lstat(root, path.Join(dir, version, "modules.builtin")); err != nil {
				continue
			}
			d := derivation{command: []string{"depmod", "-a", "--", version}}
			for _, dir := range modules {
				d.inputs = append(d.inputs, path.Join(dir, version))
			}
			all = append(all, d)
		}
	}
	return all
}

var initramfs = derivation{[]string{"update-initramfs", "-u"}, []string{
	"etc/crypttab", "etc/initramfs-tools", "etc/modprobe.d", "etc/modules", "etc/modules-load.d", "etc/lvm", "etc/mdadm",
}, ""}

// concerns reports whether an input is carried, or the output is skipped.
func (d derivation) concerns(found *drift.Drift) bool {
	return slices.ContainsFunc(found.Changes, func(c drift.Change) bool {
		if c.Outcome() == drift.Skipped {
			return c.Path == d.output
		}
		return slices.ContainsFunc(d.inputs, func(input string) bool {
			return c.Path == input || strings.HasPrefix(c.Path, input+"/")
		})
	})
}

// longest is the time limit of a quick derivation in seconds, because the machine may
// be going down.
const longest = "60"

// derive generates files anew whose inputs were carried, by the quick derivations. If
// one fails, the environment can still boot.
func (w work) derive(found *drift.Drift) {
	for _, d := range slices.Concat(quick, ofModules(found, w.store.Path(w.sides.Target))) {
		if !d.concerns(found) {
			continue
		}
		exit, err := w.run("/usr/bin/timeout", append([]string{"timeout", longest}, d.command...))
		if err == nil && exit != (inside.Exit{}) {
			err = fmt.Errorf("exit status %d", exit.Code)
		}
		if err != nil {
			w.Notice.Warn("%s failed in %s: %v.", strings.Join(d.command, " "), w.Target.Name, err)
		}
	}
}

// NeedsInitramfs reports whether inputs of the initramfs are carried, or an initramfs
// of the source is skipped. Generating an initramfs takes too long for a sync.
func NeedsInitramfs(found *drift.Drift) bool {
	return initramfs.concerns(found) || slices.ContainsFunc(found.Changes, func(c drift.Change) bool {
		return c.Outcome() == drift.Skipped && strings.HasPrefix(c.Path, "boot/initrd.img-")
	})
}
