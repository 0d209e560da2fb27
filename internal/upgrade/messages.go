package upgrade

import (
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/ui"
)

// tellReady prints that an environment is ready, and what it lacks.
func tellReady(notice *ui.Notice, e be.Env) {
	notice.Say("Boot environment %s is ready: %s (%s).", e.Name, e.Record.Title, e.Record.Changes.Summary())
	for _, path := range e.Record.LeftOut {
		notice.Say("%s does not contain the subvolume %s, because it is read-only, like snapshots, or because Apt-Be::Nested::Leave-Out names it.", e.Name, path)
	}
	if !e.Bootable() {
		notice.Say("%s cannot boot, because it has no kernel. To install one, run `apt-be install --in %s linux-image-PACKAGE`.", e.Name, e.Name)
	}
}

// tellFailed prints that an upgrade failed, and where its result is.
func tellFailed(notice *ui.Notice, e be.Env) {
	notice.Say("The upgrade failed: %s.", strings.TrimRight(e.Record.Reason, "."))
	notice.Say("The running system is unchanged. The result of the upgrade is kept as boot environment %s. To inspect it, run `apt-be shell %s`; to delete it, run `apt-be destroy %s`.", e.Name, e.Name, e.Name)
}

// tellLowSpace prints that an upgrade failed and left too little space to keep its
// result.
func tellLowSpace(notice *ui.Notice, reason string, short error) {
	notice.Say("The upgrade failed: %s.", strings.TrimRight(reason, "."))
	notice.Say("The running system is unchanged. The result of the upgrade was deleted: %v.", short)
	notice.Hint("%s", diskspace.Hint)
}
