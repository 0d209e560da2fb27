package cli

import (
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/txn"
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

// derive makes anew, in an environment that is being built, what is made from files
// that were carried over, unless that takes long. Without it the environment is
// still one that boots.
func (app *App) derive(reg *be.Registry, e be.Env, build *be.Build, found *drift.Drift, lock *txn.Lock) {
	for _, d := range quick {
		if !d.concerns(found) {
			continue
		}
		root := redirect.Root{Name: e.Name, Subvolume: build.Path, UUID: e.Subvolume.UUID}
		exit, err := app.supervisor(reg).Execute(root, "/usr/bin/timeout", []string{"timeout", longest, d.command}, lock.File())
		if err != nil || exit != (redirect.Exit{}) {
			app.Log.WithError(err).Warnf("%s ended with %d in %s: apt-be run %s -- %s tries again", d.command, exit.Code, e.Name, e.Name, d.command)
		}
	}
}

// warnOfInitramfs says so if what the initramfs is made from was changed.
func (app *App) warnOfInitramfs(e be.Env, found *drift.Drift) {
	if initramfs.concerns(found) {
		app.notice().Warn("What the initramfs holds was changed: apt-be sync %s; apt-be run %s -- %s brings it up to date.", e.Name, e.Name, initramfs.command)
	}
}
