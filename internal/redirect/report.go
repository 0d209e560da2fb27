package redirect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// System is what a supervisor has the running system do when an upgrade has
// ended.
type System interface {
	// Sendmail hands over a message: fs.ErrNotExist where there is no sendmail(8).
	Sendmail(args []string, text []byte) error
	// Users are those that are logged in.
	Users() ([]string, error)
	// Shutdown reboots the machine at a time that shutdown(8) understands.
	Shutdown(when string) error
}

// report is what is known when a job has ended of what the running system
// is to be told.
type report struct {
	ran      bool
	result   sandbox.Result // of the frontend's last sandbox
	messages []string       // what the user was told since that ended
	env      *be.Env        // what came of it
	isNew    bool           // that is new, and was not there before
}

// begin notes that a frontend has ended in a sandbox. What an earlier one of
// the same job left is of no account.
func (a *report) begin(result sandbox.Result) {
	*a = report{ran: true, result: result}
}

func (a *report) hear(text string) { a.messages = append(a.messages, text) }

// finish tells the running system what came of a job: by the flag that a
// reboot is due, in unattended-upgrade's log, by mail; and it reboots if that
// is wanted. An error is why the job came to nothing.
func (s *Supervisor) finish(job Job, failure error) {
	a := &s.report
	if !a.ran {
		return
	}
	if failure != nil {
		s.Notice.Hear(nil)
		a.hear(fmt.Sprintf("The upgrade came to nothing: %v.", failure))
	}
	armed, err := s.armed()
	if err != nil {
		s.Log.WithError(err).Warn("cannot find out what the next boot takes")
	} else {
		s.raiseFlag(armed)
	}
	reboot := s.rebootDue(job, armed)
	s.Notice.Hear(nil)
	s.log(a.messages...)
	s.deliver(a.result.Spooled, a.heading(), a.messages)
	if reboot {
		if err := s.System.Shutdown(job.Reboot.Time); err != nil {
			s.Log.WithError(err).Error("cannot reboot")
			s.log(fmt.Sprintf("cannot reboot: %v", err))
		}
	}
}

// log adds to unattended-upgrade's log, if that has written to it in this run.
func (s *Supervisor) log(told ...string) {
	if len(s.report.result.Collected[unattendedLog]) > 0 {
		s.warnPropagate(unattendedLog, appendFile(unattendedLog, logLines(time.Now(), told)))
	}
}

// heading says in one word or two what came of a job, for machines.
func (a *report) heading() string {
	if a.env == nil {
		return "none"
	}
	return fmt.Sprintf("%s; %s", a.env.Name, a.env.Record.State)
}

// armed is the environment that the next boot takes on trial, nil for none.
func (s *Supervisor) armed() (*be.Env, error) {
	if s.Boot == nil {
		return nil, nil
	}
	envs, err := s.Registry.List()
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(envs, func(e be.Env) bool { return e.DefaultErr != nil }); i >= 0 {
		return nil, envs[i].DefaultErr
	}
	i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Armed && !e.Running })
	if i < 0 {
		return nil, nil
	}
	return &envs[i], nil
}

// raiseFlag has the flag be up, in the name of the packages that asked for it,
// if a reboot takes an environment, and else not, as far as it is apt-be's.
func (s *Supervisor) raiseFlag(armed *be.Env) {
	var err error
	asked := s.askedForReboot()
	isAbout := armed != nil && s.report.env != nil && s.report.env.Record.UUID == armed.Record.UUID
	switch {
	case armed == nil:
		err = s.Flag.Clear()
	case isAbout && s.report.isNew, !s.Flag.SetByUs():
		err = s.Flag.Set(asked)
	case isAbout && len(asked) > 0: // it was gone on with
		err = s.Flag.Set(append(s.Flag.Packages(), asked...))
	}
	if err != nil {
		s.Log.Warn(err)
	}
}

// isPackage matches names of packages (Debian policy, 5.6.1).
var isPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`).MatchString

// askedForReboot are the packages that did so inside.
func (s *Supervisor) askedForReboot() []string {
	var packages []string
	for line := range strings.Lines(string(s.report.result.Collected[rebootRequiredPackages])) {
		if line = strings.TrimSpace(line); isPackage(line) {
			packages = append(packages, line)
		}
	}
	return packages
}

// rebootDue says whether to reboot now, by unattended-upgrade's own rules, and
// tells the user: after a run that went through, as its stamp says, also
// one that found nothing new while an environment waits.
func (s *Supervisor) rebootDue(job Job, armed *be.Env) bool {
	_, wentThrough := s.report.result.Collected[unattendedStamp]
	waits := s.report.env != nil && s.report.env.Pending()
	if !job.Reboot.Automatic || !wentThrough || !waits && !s.Flag.IsSet() {
		return false
	}
	name := ""
	if armed != nil {
		name = armed.Name
	}
	users, err := s.System.Users()
	if err != nil {
		s.Log.WithError(err).Warn("cannot find out who is logged in")
		users = []string{"nobody knows who"}
	}
	reboot, tell := job.Reboot.due(name, users)
	s.Notice.Say("%s", tell)
	return reboot
}

// logLines are lines of unattended-upgrade's log, in its form (Python's
// logging).
func logLines(now time.Time, told []string) []byte {
	var lines strings.Builder
	for _, text := range told {
		fmt.Fprintf(&lines, "%s INFO apt-be: %s\n", now.Format("2006-01-02 15:04:05,000"), strings.Join(strings.Fields(text), " "))
	}
	return []byte(lines.String())
}
