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

// System is the interface of the running system that a supervisor uses after an
// upgrade.
type System interface {
	// Sendmail passes a message to sendmail(8). It returns fs.ErrNotExist if there is
	// none.
	Sendmail(args []string, text []byte) error
	// Users returns the users that are logged in.
	Users() ([]string, error)
	// Shutdown schedules a reboot at a time in the format of shutdown(8).
	Shutdown(when string) error
}

// report collects the results of a job that the running system must learn about.
type report struct {
	ran      bool
	result   sandbox.Result // of the frontend's last sandbox
	messages []string       // the messages to the user since then
	env      *be.Env        // the resulting environment
	isNew    bool           // the environment did not exist before
}

// begin records that a frontend has ended in a sandbox. It discards the result of an
// earlier sandbox of the same job.
func (a *report) begin(result sandbox.Result) {
	*a = report{ran: true, result: result}
}

func (a *report) hear(text string) { a.messages = append(a.messages, text) }

// finish reports the result of a job to the running system: by the reboot-required
// flag, in unattended-upgrade's log, and by mail. It reboots if the policy says so.
// failure is the reason if the job failed.
func (s *Supervisor) finish(job Job, failure error) {
	a := &s.report
	if !a.ran {
		return
	}
	if failure != nil {
		s.Notice.Hear(nil)
		a.hear(fmt.Sprintf("The upgrade failed: %v.", failure))
	}
	armed, err := s.armed()
	if err != nil {
		s.Log.WithError(err).Warn("cannot determine the environment that boots next")
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

// log appends messages to unattended-upgrade's log, if unattended-upgrade wrote to it
// in this run.
func (s *Supervisor) log(told ...string) {
	if len(s.report.result.Collected[unattendedLog]) > 0 {
		s.warnPropagate(unattendedLog, appendFile(unattendedLog, logLines(time.Now(), told)))
	}
}

// heading describes the result of a job in one or two words, for programs.
func (a *report) heading() string {
	if a.env == nil {
		return "none"
	}
	return fmt.Sprintf("%s; %s", a.env.Name, a.env.Record.State)
}

// armed returns the environment on trial at the next boot, or nil.
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

// raiseFlag sets the reboot-required flag, with the packages that asked for it, if the
// next boot takes another environment. Otherwise it clears the flag, unless others have
// set it.
func (s *Supervisor) raiseFlag(armed *be.Env) {
	var err error
	asked := s.askedForReboot()
	isAbout := armed != nil && s.report.env != nil && s.report.env.Record.UUID == armed.Record.UUID
	switch {
	case armed == nil:
		err = s.Flag.Clear()
	case isAbout && s.report.isNew, !s.Flag.SetByUs():
		err = s.Flag.Set(asked)
	case isAbout && len(asked) > 0: // the environment was extended
		err = s.Flag.Set(append(s.Flag.Packages(), asked...))
	}
	if err != nil {
		s.Log.Warn(err)
	}
}

// isPackage matches package names (Debian policy, 5.6.1).
var isPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`).MatchString

// askedForReboot returns the packages that asked for a reboot inside.
func (s *Supervisor) askedForReboot() []string {
	var packages []string
	for line := range strings.Lines(string(s.report.result.Collected[rebootRequiredPackages])) {
		if line = strings.TrimSpace(line); isPackage(line) {
			packages = append(packages, line)
		}
	}
	return packages
}

// rebootDue reports whether to reboot now, by unattended-upgrade's own rules, and
// prints the decision. It requires a completed run, as its stamp shows, or a run that
// found nothing new while an environment is pending.
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
		s.Log.WithError(err).Warn("cannot determine who is logged in")
		users = []string{"nobody knows who"}
	}
	reboot, tell := job.Reboot.due(name, users)
	s.Notice.Say("%s", tell)
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
