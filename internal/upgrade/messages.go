package upgrade

import (
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/diskspace"
)

func (r *run) tellReady(e be.Env) {
	r.Notice.Say("Boot environment %s is ready: %s (%s).", e.Name, e.Record.Title, e.Record.Changes.Summary())
	for _, path := range e.Record.LeftOut {
		r.Notice.Say("%s does not contain the subvolume %s, because it is read-only, like snapshots, or because Apt-Be::Nested::Leave-Out names it.", e.Name, path)
	}
	if !e.Bootable() {
		r.Notice.Say("%s cannot boot, because it has no kernel. To install one, run `apt-be install --in %s linux-image-PACKAGE`.", e.Name, e.Name)
	}
}

func (r *run) tellFailed(e be.Env) {
	r.Notice.Say("The upgrade failed: %s.", strings.TrimRight(e.Record.Reason, "."))
	r.Notice.Say("The running system is unchanged. The result of the upgrade is kept as boot environment %s. To inspect it, run `apt-be shell %s`; to delete it, run `apt-be destroy %s`.", e.Name, e.Name, e.Name)
}

// tellLowSpace prints that an upgrade failed and left too little space to keep its
// result.
func (r *run) tellLowSpace(reason string, short error) {
	r.Notice.Say("The upgrade failed: %s.", strings.TrimRight(reason, "."))
	r.Notice.Say("The running system is unchanged. The result of the upgrade was deleted: %v.", short)
	r.Notice.Hint("%s", diskspace.Hint)
}
