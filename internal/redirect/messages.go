package redirect

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/ui"
)

func (s *Supervisor) tellReady(e be.Env) {
	s.Notice.Say("Boot environment %s is ready: %s (%s).", e.Name, e.Record.Title, e.Record.Changes.Summary())
	for _, path := range e.Record.LeftOut {
		s.Notice.Say("%s does not contain the subvolume %s, because it is read-only, like snapshots, or because Apt-Be::Nested::Leave-Out names it.", e.Name, path)
	}
	if !e.Bootable() {
		s.Notice.Say("%s cannot boot, because it has no kernel. To install one, run `apt-be install --in %s linux-image-PACKAGE`.", e.Name, e.Name)
	}
}

func (s *Supervisor) tellFailed(e be.Env) {
	s.Notice.Say("The upgrade failed: %s.", strings.TrimRight(e.Record.Reason, "."))
	s.Notice.Say("The running system is unchanged. The result of the upgrade is kept as boot environment %s. To inspect it, run `apt-be shell %s`; to delete it, run `apt-be destroy %s`.", e.Name, e.Name, e.Name)
}

// tellLowSpace prints that an upgrade failed and left too little space to keep its
// result.
func (s *Supervisor) tellLowSpace(reason string, short error) {
	s.Notice.Say("The upgrade failed: %s.", strings.TrimRight(reason, "."))
	s.Notice.Say("The running system is unchanged. The result of the upgrade was deleted: %v.", short)
	s.Notice.Hint("%s", diskspace.Hint)
}

// lockMessage returns apt's sentence about a lock that another process holds
// (apt-pkg/contrib/fileutl.cc).
func lockMessage(busy *dpkglock.BusyError) string {
	if busy.PID == 0 {
		return fmt.Sprintf("Could not get lock %s. It is held by another process", busy.File)
	}
	if busy.Command == "" {
		return fmt.Sprintf("Could not get lock %s. It is held by process %d", busy.File, busy.PID)
	}
	return fmt.Sprintf("Could not get lock %s. It is held by process %d (%s)", busy.File, busy.PID, ui.Printable(busy.Command))
}

// lockFailure prints the frontend's own message for a locked dpkg database, so that
// programs and people who parse it recognize it.
func (s *Supervisor) lockFailure(job Job, err error) (Exit, error) {
	var busy *dpkglock.BusyError
	if !errors.As(err, &busy) {
		return Exit{}, err
	}
	exit := Exit{Code: job.Frontend.failureCode()}
	if job.Frontend == UnattendedUpgrade {
		fmt.Fprintln(os.Stdout, "Cache lock can not be acquired, exiting")
		return exit, nil
	}
	prefix, notice := "E", "N" // the prefixes of apt-get and aptitude in all versions
	if job.Frontend == Apt && aptSaysError() {
		prefix, notice = "Error", "Notice"
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", prefix, lockMessage(busy))
	if isTerminal(os.Stdout) { // otherwise libapt shows no notices
		fmt.Fprintf(os.Stderr, "%s: Be aware that removing the lock file is not a solution and may break your system.\n", notice)
	}
	fmt.Fprintf(os.Stderr, "%s: Unable to acquire the dpkg frontend lock (%s/lock-frontend), is another process using it?\n", prefix, dpkglock.Dir)
	return exit, nil
}
