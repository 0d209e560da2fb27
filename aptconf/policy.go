package aptconf

import (
	"fmt"
	"slices"
	"strings"
)

// What the guard does when a program that is no command, such as PackageKit,
// changes packages of the running root.
const (
	GuardSnapshot = "snapshot" // take a read-only snapshot first, then let it go on
	GuardVeto     = "veto"     // stop it
	GuardOff      = "off"      // nothing
)

// Policy is the scope Apt-Be:: of apt's configuration.
type Policy struct {
	// Redirect is Apt-Be::Redirect: whether upgrades go to a new boot
	// environment at all.
	Redirect bool
	// Commands is Apt-Be::Redirect::Commands: those commands of apt-get, apt
	// and aptitude that do, and "unattended-upgrade".
	Commands []string
	// Guard is Apt-Be::Guard: GuardSnapshot, GuardVeto or GuardOff.
	Guard string
}

// DefaultCommands returns the commands that are redirected where
// Apt-Be::Redirect::Commands says nothing: those that upgrade the system.
func DefaultCommands() []string {
	return []string{"upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "unattended-upgrade"}
}

// Redirectable tells whether Apt-Be::Redirect::Commands may name a command:
// one that changes which packages are installed.
func Redirectable(command string) bool {
	if slices.Contains(DefaultCommands(), command) {
		return true
	}
	switch command {
	case "install", "reinstall", "remove", "purge", "autoremove", "auto-remove", "autopurge",
		"dselect-upgrade", "satisfy", "build-dep", "build-depends":
		return true
	}
	return false
}

// Policy reads the scope Apt-Be::. A value that means nothing is an error:
// taken as the default it would do the opposite of what its author meant.
func (c Config) Policy() (Policy, error) {
	p := Policy{Redirect: true, Guard: GuardSnapshot}
	if v := c.String("Apt-Be::Redirect", ""); v != "" {
		b, ok := ParseBool(v)
		if !ok {
			return Policy{}, fmt.Errorf("cannot read Apt-Be::Redirect: %q is neither yes nor no", v)
		}
		p.Redirect = b
	}
	for _, command := range c.List("Apt-Be::Redirect::Commands") {
		command = strings.TrimSpace(command)
		if !Redirectable(command) {
			return Policy{}, fmt.Errorf("cannot read Apt-Be::Redirect::Commands: %q is no command that changes packages", command)
		}
		p.Commands = append(p.Commands, command)
	}
	if len(p.Commands) == 0 {
		p.Commands = DefaultCommands()
	}
	if v := c.String("Apt-Be::Guard", ""); v != "" {
		switch v {
		case GuardSnapshot, GuardVeto, GuardOff:
			p.Guard = v
		default:
			return Policy{}, fmt.Errorf("cannot read Apt-Be::Guard: %q is none of snapshot, veto, off", v)
		}
	}
	return p, nil
}
