package catchup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/redirect"
)

// derivation is a command that makes files from others.
type derivation struct {
	command []string
	inputs  []string // paths, and those of directories
	output  string   // what it makes: the running system has made it anew, and it stays behind
}

// quick are those that take a moment.
var quick = []derivation{
	{[]string{"ldconfig"}, []string{"usr/local/lib", "etc/ld.so.conf", "etc/ld.so.conf.d"}, "etc/ld.so.cache"},
	{[]string{"update-ca-certificates"}, []string{"usr/local/share/ca-certificates", "etc/ca-certificates.conf"}, ""},
	{[]string{"systemd-hwdb", "--usr", "update"}, []string{"etc/udev/hwdb.d"}, "usr/lib/udev/hwdb.bin"},
}

// modules are where the modules of kernels are: the second one is that where /lib is
// a directory of its own.
var modules = []string{"usr/lib/modules", "lib/modules"}

// ofModules returns what depmod(8) makes for each kernel whose modules are carried
// over to a root, if that still has the kernel.
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
			// Which is the kernel's own, and not depmod's.
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

// concerns says whether one of the inputs is carried over, or the output is not.
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

// longest is how many seconds a quick derivation may take: the machine may be going
// down.
const longest = "60"

// derive makes anew what is made from files that were carried over, unless that
// takes long. Without it the environment is still one that boots.
func (w work) derive(found *drift.Drift) {
	for _, d := range slices.Concat(quick, ofModules(found, w.store.Path(w.sides.Target))) {
		if !d.concerns(found) {
			continue
		}
		exit, err := w.run("/usr/bin/timeout", append([]string{"timeout", longest}, d.command...))
		if err == nil && exit != (redirect.Exit{}) {
			err = fmt.Errorf("exit status %d", exit.Code)
		}
		if err != nil {
			w.Notice.Warn("%s could not be run in %s: %v.", strings.Join(d.command, " "), w.Target.Name, err)
		}
	}
}

// NeedsInitramfs says whether what initramfses are made from is carried over, or one
// that the running system has made anew stays behind: they are not made anew, which
// takes long.
func NeedsInitramfs(found *drift.Drift) bool {
	return initramfs.concerns(found) || slices.ContainsFunc(found.Changes, func(c drift.Change) bool {
		return c.Outcome() == drift.Skipped && strings.HasPrefix(c.Path, "boot/initrd.img-")
	})
}
