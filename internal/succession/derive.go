package succession

import (
	"fmt"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/redirect"
	"slices"
	"strings"
)

// derivation is a command that makes files from others.
type derivation struct {
	command string
	inputs  []string // paths, and those of directories
}

// quick are those that take a moment.
var quick = []derivation{
	{"ldconfig", []string{"usr/local/lib", "etc/ld.so.conf", "etc/ld.so.conf.d"}},
	{"update-ca-certificates", []string{"usr/local/share/ca-certificates", "etc/ca-certificates.conf"}},
}

var initramfs = derivation{"update-initramfs -u", []string{
	"etc/crypttab", "etc/initramfs-tools", "etc/modprobe.d", "etc/modules", "etc/modules-load.d", "etc/lvm", "etc/mdadm",
}}

// concerns says whether one of the inputs is carried over.
func (d derivation) concerns(found *drift.Drift) bool {
	return slices.ContainsFunc(found.Changes, func(c drift.Change) bool {
		return c.Fate() != drift.Left && slices.ContainsFunc(d.inputs, func(input string) bool {
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
	for _, d := range quick {
		if !d.concerns(found) {
			continue
		}
		exit, err := w.run("/usr/bin/timeout", []string{"timeout", longest, d.command})
		if err == nil && exit != (redirect.Exit{}) {
			err = fmt.Errorf("exit status %d", exit.Code)
		}
		if err != nil {
			w.Notice.Warn("%s could not be run in %s: %v.", d.command, w.Heir.Name, err)
		}
	}
}

// NeedsInitramfs says whether what initramfses are made from is carried over: they
// are not made anew, which takes long.
func NeedsInitramfs(found *drift.Drift) bool { return initramfs.concerns(found) }
