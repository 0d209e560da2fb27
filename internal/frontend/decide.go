package frontend

import (
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/aptconf"
)

// StoreState is the reason why the running root can, or cannot, be snapshotted as a
// whole.
type StoreState int

// The states of the running root.
const (
	Unexamined    StoreState = iota // nobody has examined the root
	RootOK                          // the package database is in the snapshot
	NotBtrfs                        // the file system has no snapshots
	TopLevel                        // the root is the top-level subvolume, which a snapshot cannot replace
	DpkgElsewhere                   // /var/lib/dpkg is outside of the root's subvolume
)

// Env is the set of facts about the process and the host that Decide needs. Finding them
// takes no time; the state of the root's store does, and is for Decision.OnRoot.
type Env struct {
	Root      bool // the effective user is root
	Inside    bool // this process runs in an environment's sandbox
	Bypass    bool // the user disabled the redirect: APT_BE_BYPASS=1
	Container bool // the root is the root of a container or of a chroot
	// IsRoot reports whether a directory is the running root under another name, such
	// as /proc/self/root. Nil means that no directory is.
	IsRoot func(dir string) bool
}

// AliasError reports that apt's configuration names the running root by another path.
// In a boot environment that path could still be the running root.
type AliasError struct {
	Item string // the configuration item
	Dir  string
}

func (e *AliasError) Error() string {
	return fmt.Sprintf("cannot upgrade %s: it is the root of the running system under another name, set by %s", e.Dir, e.Item)
}

// Hint returns the commands that avoid the error.
func (e *AliasError) Hint() string {
	return fmt.Sprintf("without %s, the upgrade runs in a new boot environment; with -o Apt-Be::Redirect=no, it changes the running system", e.Item)
}

// Decision is the result of Decide.
type Decision struct {
	// Redirect is true if the frontend must run in a new boot environment. Otherwise
	// the real frontend runs in the running system.
	Redirect bool
	// Reason is the reason for the decision, as a sentence for diagnostics.
	Reason string
	// Settings are the names of the items of apt's configuration that the rule behind
	// the decision reads.
	Settings []string
	// Warn is a warning to show once a day, such as an [Obstacle]: the command is not
	// redirected although the configuration asks for it. Nil if there is none.
	Warn error
}

// NeedsConfig reports whether Decide needs apt's configuration. If not, Decide passes the command through in any case.
func NeedsConfig(inv Invocation, m Env) bool {
	_, pass := passes(inv, m)
	return !pass
}

// passes reports whether a command is passed through for a reason that needs no
// configuration.
func passes(inv Invocation, m Env) (reason string, pass bool) {
	switch {
	case inv.Dry:
		return "it changes no package: " + inv.DryReason, true
	case !inv.Candidate() && inv.Verb == "":
		return "it has no command that upgrades packages", true
	case !inv.Candidate():
		return fmt.Sprintf("%s is not redirected", inv.Verb), true
	case m.Bypass:
		return "APT_BE_BYPASS=1 is set", true
	case m.Inside:
		return "this is inside a boot environment already", true
	case !m.Root:
		return "only root can change packages", true
	case m.Container:
		return "this is a container or a chroot", true
	}
	return "", false
}

// The settings of the redirect.
const (
	redirectSetting = "Apt-Be::Redirect"
	commandsSetting = "Apt-Be::Redirect::Commands"
)

// Decide decides whether an invocation runs in a new boot environment, if the running
// root can be snapshotted (see OnRoot). conf is the frontend's configuration, read with
// inv.ConfigArgs. An error means that the policy in conf is invalid; then nothing may be
// unpacked on the running root.
func Decide(inv Invocation, conf aptconf.Config, m Env) (Decision, error) {
	if reason, pass := passes(inv, m); pass {
		return Decision{Reason: reason}, nil
	}
	policy, err := conf.Policy()
	if err != nil {
		if !inv.Upgrade {
			// commands that are not redirected by default must work, so that the user
			// can correct the policy
			return Decision{Reason: "the policy is not readable", Settings: []string{"Apt-Be"}, Warn: err}, nil
		}
		return Decision{}, err
	}
	if !policy.Redirect {
		return Decision{Reason: "Apt-Be::Redirect is off", Settings: []string{redirectSetting}}, nil
	}
	if !listed(inv, policy.Commands) && !(onlyUpgrades(inv, conf) && slices.Contains(policy.Commands, aptconf.OnlyUpgrade)) {
		return Decision{Reason: fmt.Sprintf("Apt-Be::Redirect::Commands does not list %s", inv.Verb), Settings: []string{commandsSetting, onlyUpgradeSetting}}, nil
	}
	if setting := drySetting(inv.Frontend, conf); setting != "" {
		return Decision{Reason: "it changes no package: " + setting + " is set", Settings: []string{setting}}, nil
	}
	// unattended-upgrade sets libapt's root directory itself
	if dir, item, other := conf.OtherRoot(); other && inv.Frontend != UnattendedUpgrade {
		if m.IsRoot != nil && m.IsRoot(dir) {
			return Decision{}, &AliasError{Item: item, Dir: dir}
		}
		return Decision{Reason: "apt's configuration makes it work on " + dir, Settings: []string{item}}, nil
	}
	return Decision{Redirect: true, Reason: fmt.Sprintf("%s is redirected", inv.Verb), Settings: []string{redirectSetting, commandsSetting}}, nil
}

// OnRoot returns the decision for a running root in a state. A command that would be
// redirected changes the running system, with a warning, if the root has no snapshots.
func (d Decision) OnRoot(state StoreState) Decision {
	if !d.Redirect || state == RootOK {
		return d
	}
	obstacle := &Obstacle{state}
	return Decision{Reason: obstacle.why(), Settings: d.Settings, Warn: obstacle}
}

// onlyUpgrades reports whether an install command only upgrades installed packages, as
// far as the command line and configuration show.
func onlyUpgrades(inv Invocation, conf aptconf.Config) bool {
	if inv.Selects != "" || inv.installs() && inv.Upgrade && inv.Problem != "" {
		return true
	}
	// aptitude has no such option.
	return inv.installs() && inv.Frontend != Aptitude && conf.Bool(onlyUpgradeSetting, false)
}

// listed reports whether the policy lists the command of an invocation, by this name or
// by a synonym.
func listed(inv Invocation, commands []string) bool {
	for _, command := range commands {
		if synonym(inv.Frontend, command) == synonym(inv.Frontend, inv.Verb) {
			return true
		}
	}
	return false
}

// synonym maps all names of a frontend's command to one of them.
func synonym(f Frontend, verb string) string {
	switch verb {
	case "dist-upgrade":
		return "full-upgrade"
	case "auto-remove":
		return "autoremove"
	case "build-depends":
		return "build-dep"
	case "upgrade":
		if f == Aptitude {
			return "safe-upgrade"
		}
	}
	return verb
}

// drySetting returns the configuration item that prevents a frontend from changing
// packages, or "". aptitude and unattended-upgrade ignore APT::Get.
func drySetting(f Frontend, conf aptconf.Config) string {
	// read by libapt itself, for all frontends
	settings := []string{"Debug::pkgDPkgPM"}
	switch f {
	case AptGet, Apt:
		settings = append(settings, "APT::Get::Simulate", "APT::Get::Download-Only", "APT::Get::Print-URIs")
	case Aptitude:
		settings = append(settings, "Aptitude::Simulate", "Aptitude::CmdLine::Simulate", "Aptitude::CmdLine::Download-Only")
	}
	for _, setting := range settings {
		if conf.Bool(setting, false) {
			return setting
		}
	}
	return ""
}
