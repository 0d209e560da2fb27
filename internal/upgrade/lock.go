package upgrade

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/ui"
)

// takeDpkgLock takes dpkg's locks. It waits as long as apt would, or until a signal
// arrives.
func (r *run) takeDpkgLock() (*dpkglock.Lock, error) {
	end := time.Now().Add(r.job.LockTimeout)
	for waiting := false; ; {
		lock, err := dpkglock.Take(r.Root)
		var busy *dpkglock.BusyError
		if err == nil || !errors.As(err, &busy) {
			return lock, err
		}
		if r.job.LockTimeout >= 0 && time.Now().After(end) {
			return nil, err
		}
		if !waiting {
			waiting = true
			fmt.Fprintf(os.Stderr, "Waiting for cache lock: %s\n", lockMessage(busy))
		}
		select {
		case <-r.signals.Any.Done():
			return nil, r.signals.Any.Err()
		case <-time.After(time.Second):
		}
	}
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
func (r *run) lockFailure(err error) (inside.Exit, error) {
	var busy *dpkglock.BusyError
	if !errors.As(err, &busy) {
		return inside.Exit{}, err
	}
	exit := inside.Exit{Code: r.job.Frontend.FailureCode()}
	if r.job.Frontend == frontend.UnattendedUpgrade {
		fmt.Fprintln(os.Stdout, "Cache lock can not be acquired, exiting")
		return exit, nil
	}
	prefix, notice := "E", "N" // the prefixes of apt-get and aptitude in all versions
	if r.job.Frontend == frontend.Apt && aptSaysError(r.Root) {
		prefix, notice = "Error", "Notice"
	}
	fmt.Fprintf(os.Stderr, "%s: %s\n", prefix, lockMessage(busy))
	if isTerminal(os.Stdout) { // otherwise libapt shows no notices
		fmt.Fprintf(os.Stderr, "%s: Be aware that removing the lock file is not a solution and may break your system.\n", notice)
	}
	fmt.Fprintf(os.Stderr, "%s: Unable to acquire the dpkg frontend lock (%s/lock-frontend), is another process using it?\n", prefix, dpkglock.Dir)
	return exit, nil
}

// aptSaysError reports whether the apt of a root begins its errors with "Error:" (since 3.0) instead
// of "E:". Programs that search apt's output depend on the prefix.
func aptSaysError(root string) bool {
	path, err := inside.RealPath(frontend.AptGet, root)
	if err != nil {
		return false
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		return false
	}
	fields := strings.Fields(string(version)) // such as: apt 3.0.3 (amd64)
	return len(fields) > 1 && !strings.HasPrefix(fields[1], "1.") && !strings.HasPrefix(fields[1], "2.")
}
