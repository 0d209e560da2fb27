// Package report reports the result of an upgrade to the running system: by messages, in
// unattended-upgrade's log, by mail, and by the reboot-required flag. It also prepares
// the sandbox so that the upgrade neither mails nor reboots by itself.
package report

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/rebootrequired"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/ui"
)

// System is the interface of the running system that a report needs.
type System interface {
	// Sendmail passes a message to sendmail(8). It returns fs.ErrNotExist if there is
	// none.
	Sendmail(args []string, text []byte) error
	// Users returns the users that are logged in.
	Users() ([]string, error)
	// Shutdown schedules a reboot at a time in the format of shutdown(8).
	Shutdown(when string) error
}

// Reporter reports results of upgrades to the running system.
type Reporter struct {
	Notice *ui.Notice
	Log    logrus.FieldLogger
	System System
	Flag   rebootrequired.Flag // of the running system
	Lib    string              // the directory of apt-be's own files
}

// Report collects the results of one upgrade that the running system must learn about.
type Report struct {
	*Reporter
	Frontend frontend.Frontend
	Reboot   Reboot // unattended-upgrade's reboot policy

	ran      bool
	result   sandbox.Result // of the frontend's last sandbox
	messages []string       // the messages to the user since then
	env      *be.Env        // the resulting environment
	isNew    bool           // the environment did not exist before
}

// Begin records that the frontend has ended in a sandbox. It discards the result of an
// earlier sandbox of the same upgrade, and collects all messages to the user from now
// on.
func (a *Report) Begin(result sandbox.Result) {
	*a = Report{Reporter: a.Reporter, Frontend: a.Frontend, Reboot: a.Reboot, ran: true, result: result}
	a.Notice.Hear(a.hear)
}

func (a *Report) hear(text string) { a.messages = append(a.messages, text) }

// Messages returns the messages to the user since the frontend ended.
func (a *Report) Messages() []string { return a.messages }

// Ran reports whether the frontend ran.
func (a *Report) Ran() bool { return a.ran }

// SetResult records the environment that the upgrade made, extended or found. isNew says
// that the upgrade made it.
func (a *Report) SetResult(e be.Env, isNew bool) { a.env, a.isNew = &e, isNew }

// Finish reports the result of the upgrade to the running system: by the
// reboot-required flag, in unattended-upgrade's log, and by mail. It reboots if the
// policy says so. armed is the environment on trial at the next boot, or nil; if
// armedErr is not nil, it is unknown. failure is the reason if the upgrade failed.
func (a *Report) Finish(armed *be.Env, armedErr, failure error) {
	if !a.ran {
		return
	}
	if failure != nil {
		a.Notice.Hear(nil)
		a.hear(fmt.Sprintf("The upgrade failed: %v.", failure))
	}
	if armedErr != nil {
		a.Log.WithError(armedErr).Warn("cannot determine the environment that boots next")
	} else {
		a.setRebootRequired(armed)
	}
	reboot := a.rebootDue(armed)
	a.Notice.Hear(nil)
	a.log(a.messages...)
	a.deliver(a.result.Spooled, a.heading(), a.messages)
	if reboot {
		if err := a.System.Shutdown(a.Reboot.Time); err != nil {
			a.Log.WithError(err).Error("cannot reboot")
			a.log(fmt.Sprintf("cannot reboot: %v", err))
		}
	}
}

// log appends messages to unattended-upgrade's log, if unattended-upgrade wrote to it
// in this run.
func (a *Report) log(told ...string) {
	if len(a.result.Collected[unattendedLog]) > 0 {
		a.warnPropagate(unattendedLog, appendFile(unattendedLog, logLines(time.Now(), told)))
	}
}

// heading describes the result of a job in one or two words, for programs.
func (a *Report) heading() string {
	if a.env == nil {
		return "none"
	}
	return fmt.Sprintf("%s; %s", a.env.Name, a.env.Record.State)
}

// setRebootRequired sets the reboot-required flag, with the packages that asked for it, if the
// next boot takes another environment. Otherwise it clears the flag, unless others have
// set it.
func (a *Report) setRebootRequired(armed *be.Env) {
	var err error
	asked := a.askedForReboot()
	isAbout := armed != nil && a.env != nil && a.env.Record.UUID == armed.Record.UUID
	switch {
	case armed == nil:
		err = a.Flag.Clear()
	case isAbout && a.isNew, !a.Flag.SetByUs():
		err = a.Flag.Set(asked)
	case isAbout && len(asked) > 0: // the environment was extended
		err = a.Flag.Set(append(a.Flag.Packages(), asked...))
	}
	if err != nil {
		a.Log.Warn(err)
	}
}

// isPackage matches package names (Debian policy, 5.6.1).
var isPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`).MatchString

// askedForReboot returns the packages that asked for a reboot inside.
func (a *Report) askedForReboot() []string {
	var packages []string
	for line := range strings.Lines(string(a.result.Collected[rebootRequiredPackages])) {
		if line = strings.TrimSpace(line); isPackage(line) {
			packages = append(packages, line)
		}
	}
	return packages
}

// rebootDue reports whether to reboot now, by unattended-upgrade's own rules, and
// prints the decision. It requires a completed run, as its stamp shows, or a run that
// found nothing new while an environment is pending.
func (a *Report) rebootDue(armed *be.Env) bool {
	_, wentThrough := a.result.Collected[unattendedStamp]
	waits := a.env != nil && a.env.Pending()
	if !a.Reboot.Automatic || !wentThrough || !waits && !a.Flag.IsSet() {
		return false
	}
	name := ""
	if armed != nil {
		name = armed.Name
	}
	users, err := a.System.Users()
	if err != nil {
		a.Log.WithError(err).Warn("cannot determine who is logged in")
		users = []string{"nobody knows who"}
	}
	reboot, tell := a.Reboot.due(name, users)
	a.Notice.Say("%s", tell)
	return reboot
}

// logLines formats messages like lines of unattended-upgrade's log (Python's logging).
func logLines(now time.Time, told []string) []byte {
	var lines strings.Builder
	for _, text := range told {
		fmt.Fprintf(&lines, "%s INFO apt-be: %s\n", now.Format("2006-01-02 15:04:05,000"), strings.Join(strings.Fields(text), " "))
	}
	return []byte(lines.String())
}
