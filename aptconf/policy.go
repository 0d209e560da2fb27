package aptconf

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// DefaultDeadline is the default of Policy.Deadline. A server with slow firmware and
// disks starts within a few minutes.
const DefaultDeadline = 10 * time.Minute

// The actions of the guard when a program that is not a frontend, such as PackageKit,
// changes packages of the running root.
const (
	GuardSnapshot = "snapshot" // take a read-only snapshot first
	GuardVeto     = "veto"     // stop the program
	GuardOff      = "off"      // do nothing
)

// Policy is the scope Apt-Be:: of apt's configuration.
type Policy struct {
	// Redirect is Apt-Be::Redirect: whether upgrades are redirected to a new boot
	// environment.
	Redirect bool
	// Commands is Apt-Be::Redirect::Commands: the redirected commands of apt-get, apt
	// and aptitude, and "unattended-upgrade".
	Commands []string
	// Guard is Apt-Be::Guard: GuardSnapshot, GuardVeto or GuardOff.
	Guard string
	// Activate is Apt-Be::Activate: whether an upgrade arms a trial of its result, if
	// apt-be init was run.
	Activate bool
	// Deadline is Apt-Be::Deadline, in seconds there: the time limit of a trial for
	// becoming healthy.
	Deadline time.Duration
	Speed    Speed
}

// DefaultCommands returns the default of Apt-Be::Redirect::Commands: the commands that
// upgrade the system.
func DefaultCommands() []string {
	return []string{"upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "unattended-upgrade", OnlyUpgrade,
		"dselect-upgrade", "history-undo", "history-redo", "history-rollback"}
}

// OnlyUpgrade is the word in Apt-Be::Redirect::Commands for an install command that
// only upgrades: with --only-upgrade, or with a pattern that selects only installed
// packages.
const OnlyUpgrade = "only-upgrade"

// Redirectable reports whether Apt-Be::Redirect::Commands may contain a command: one
// that changes the installed packages.
func Redirectable(command string) bool {
	if slices.Contains(DefaultCommands(), command) {
		return true
	}
	switch command {
	case "install", "reinstall", "remove", "purge", "autoremove", "auto-remove", "autopurge",
		"satisfy", "build-dep", "build-depends":
		return true
	}
	return false
}

// Policy reads the scope Apt-Be::. An error is a [SettingError].
func (c Config) Policy() (Policy, error) {
	p := Policy{Guard: GuardSnapshot, Deadline: DefaultDeadline}
	err := c.checkKnown()
	if err != nil {
		return Policy{}, err
	}
	if p.Redirect, err = c.switched("Apt-Be::Redirect", true); err != nil {
		return Policy{}, err
	}
	if p.Activate, err = c.switched("Apt-Be::Activate", true); err != nil {
		return Policy{}, err
	}
	if p.Speed, err = c.speed(); err != nil {
		return Policy{}, err
	}
	if v := c.String("Apt-Be::Deadline", ""); v != "" {
		seconds, err := strconv.Atoi(v)
		if err != nil || seconds < 30 || seconds > 65000 {
			return Policy{}, c.fault("Apt-Be::Deadline", v, "not a number of seconds from 30 to 65000")
		}
		p.Deadline = time.Duration(seconds) * time.Second
	}
	for _, command := range c.List("Apt-Be::Redirect::Commands") {
		command = strings.TrimSpace(command)
		if !Redirectable(command) {
			return Policy{}, c.fault("Apt-Be::Redirect::Commands", command, "not a command that changes packages")
		}
		p.Commands = append(p.Commands, command)
	}
	if len(p.Commands) == 0 {
		p.Commands = DefaultCommands()
	}
	if _, err := c.Methods(); err != nil {
		return Policy{}, err
	}
	if err := c.checkLeaveOut(); err != nil {
		return Policy{}, err
	}
	if err := c.checkAllowOutside(); err != nil {
		return Policy{}, err
	}
	if _, err := c.Network(); err != nil {
		return Policy{}, err
	}
	if v := c.String("Apt-Be::Guard", ""); v != "" {
		switch v {
		case GuardSnapshot, GuardVeto, GuardOff:
			p.Guard = v
		default:
			return Policy{}, c.fault("Apt-Be::Guard", v, "not one of snapshot, veto, off")
		}
	}
	return p, nil
}
