package report

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/sandbox"
)

const (
	rebootRequired         = "/run/reboot-required"
	rebootRequiredPackages = "/run/reboot-required.pkgs"
	unattendedLog          = "/var/log/unattended-upgrades/unattended-upgrades.log"
	unattendedDpkgLog      = "/var/log/unattended-upgrades/unattended-upgrades-dpkg.log"
	unattendedStamp        = "/var/lib/apt/periodic/unattended-upgrades-stamp"
)

// HistoryLog is the file in which libapt records each run and its result.
const HistoryLog = "/var/log/apt/history.log"

// Collect makes a sandbox return the files that the running system needs, and shows in
// it that a reboot of the running system is already required.
func (a *Report) Collect(spec *sandbox.Spec) {
	spec.Collect = append(spec.Collect, HistoryLog)
	spec.Grown = append(spec.Grown, rebootRequiredPackages)
	if a.Frontend == frontend.UnattendedUpgrade {
		spec.Grown = append(spec.Grown, appended...)
		spec.Written = append(spec.Written, replaced...)
	}
	tellRebootDue(spec)
}

// tellRebootDue shows in a sandbox that a reboot of the running system is already
// required: frontends print that, and packages add their names.
func tellRebootDue(spec *sandbox.Spec) {
	for _, name := range []string{rebootRequired, rebootRequiredPackages} {
		if text, err := regular.ReadFile(name, regular.State); err == nil {
			spec.Texts[name] = string(text)
		}
	}
}

// appended are unattended-upgrade's logs, which grow. replaced are other files in which
// it, and the timer that calls it, record a run. The running system needs both;
// otherwise it would not know about the run.
var (
	appended = []string{
		unattendedLog,
		unattendedDpkgLog,
		"/var/log/unattended-upgrades/unattended-upgrades-shutdown.log",
	}
	replaced = []string{
		unattendedStamp,
		"/var/lib/unattended-upgrades/kept-back",
	}
)

// PropagateLogs copies the files that unattended-upgrade wrote about its run to the
// running system, whatever the result.
func (a *Report) PropagateLogs(result sandbox.Result) {
	if a.Frontend != frontend.UnattendedUpgrade {
		return
	}
	for _, name := range appended {
		a.warnPropagate(name, appendFile(name, result.Collected[name]))
	}
	if len(result.Collected[unattendedDpkgLog]) > 0 {
		a.warnPropagate(unattendedDpkgLog, giveToAdm(unattendedDpkgLog))
	}
	for _, name := range replaced {
		if now, ok := result.Collected[name]; ok {
			err := os.MkdirAll(filepath.Dir(name), 0o755)
			if err == nil {
				err = durable.WriteFile(name, now, 0o644)
			}
			a.warnPropagate(name, err)
		}
	}
}

func (a *Report) warnPropagate(name string, err error) {
	if err != nil {
		a.Log.WithError(err).Warnf("cannot carry %s over to the running system", name)
	}
}

// giveToAdm makes a log readable for the group adm, as unattended-upgrade does if the
// group exists.
func giveToAdm(name string) error {
	adm, err := user.LookupGroup("adm")
	if err != nil {
		return nil
	}
	gid, err := strconv.Atoi(adm.Gid)
	if err != nil {
		return err
	}
	return os.Chown(name, 0, gid)
}

func appendFile(name string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
