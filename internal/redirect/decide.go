package redirect

import (
	"fmt"
	"slices"

	"github.com/apt-be/apt-be/aptconf"
)

// StoreState says whether the running root can be snapshotted as a whole.
type StoreState int

// The states of the running root.
const (
	RootOK        StoreState = iota // its package database is in the snapshot
	NotBtrfs                        // its file system has no snapshots
	TopLevel                        // it is the top-level subvolume, which no snapshot can stand in for
	DpkgElsewhere                   // /var/lib/dpkg is not in its subvolume
)

// Env is what must be known of where an invocation runs.
type Env struct {
	Root      bool // the effective user is root
	Inside    bool // this is inside a boot environment's sandbox already
	Bypass    bool // the user asked for no redirect: APT_BE_BYPASS=1
	Container bool // the root is that of a container or of a chroot
	Store     StoreState
	// IsRoot tells whether a directory is the running root by another name, such
	// as /proc/self/root. nil is that none is.
	IsRoot func(dir string) bool
}

// AliasError says that apt's configuration names the running root by another
// name. In a boot environment that name might be this root still.
type AliasError struct {
	Item string // of the configuration
	Dir  string
}

func (e *AliasError) Error() string {
	return fmt.Sprintf("cannot upgrade %s: %s names it, and it is the root of the running system", e.Dir, e.Item)
}

// Hint is what a user can do about it.
func (e *AliasError) Hint() string {
	return fmt.Sprintf("without %s the upgrade goes into a boot environment; with -o Apt-Be::Redirect=no it is done in the running system", e.Item)
}

// Decision is what to do with an invocation.
type Decision struct {
	// Redirect says to run it in a new boot environment; else the real
	// frontend runs here and now.
	Redirect bool
	// Reason says why, for diagnostics, as a sentence.
	Reason string
	// Warn is what the user should be told once in a while, because it is not
	// what the configuration asks for, such as an [Obstacle]; nil otherwise.
	Warn error
}

// NeedsConfig tells whether apt's configuration and the store must be looked
// at for Decide: where it is false, Decide passes through whatever they say.
func NeedsConfig(inv Invocation, m Env) bool {
	_, pass := passes(inv, m)
	return !pass
}

// passes tells of what is known without any configuration to be no redirect.
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

// Decide tells whether an invocation goes to a new boot environment. conf is
// the configuration that the frontend will have, read with inv.ConfigArgs. An
// error is one of the policy in it; then nothing must be unpacked on the
// running root.
func Decide(inv Invocation, conf aptconf.Config, m Env) (Decision, error) {
	if reason, pass := passes(inv, m); pass {
		return Decision{Reason: reason}, nil
	}
	policy, err := conf.Policy()
	if err != nil {
		if !inv.Upgrade {
			// what is not redirected by default must work to mend this
			return Decision{Reason: "the policy is not readable", Warn: err}, nil
		}
		return Decision{}, err
	}
	if !policy.Redirect {
		return Decision{Reason: "Apt-Be::Redirect is off"}, nil
	}
	if !listed(inv, policy.Commands) && !(onlyUpgrades(inv, conf) && slices.Contains(policy.Commands, aptconf.OnlyUpgrade)) {
		return Decision{Reason: fmt.Sprintf("Apt-Be::Redirect::Commands does not list %s", inv.Verb)}, nil
	}
	if setting := drySetting(inv.Frontend, conf); setting != "" {
		return Decision{Reason: "it changes no package: " + setting + " is set"}, nil
	}
	// unattended-upgrade sets the root directory of libapt itself
	if dir, item, other := conf.OtherRoot(); other && inv.Frontend != UnattendedUpgrade {
		if m.IsRoot != nil && m.IsRoot(dir) {
			return Decision{}, &AliasError{Item: item, Dir: dir}
		}
		return Decision{Reason: "apt's configuration makes it work on " + dir}, nil
	}
	if m.Store != RootOK {
		obstacle := &Obstacle{m.Store}
		return Decision{Reason: obstacle.why(), Warn: obstacle}, nil
	}
	return Decision{Redirect: true, Reason: fmt.Sprintf("%s is redirected", inv.Verb)}, nil
}

// onlyUpgrades tells of an install that upgrades what is installed, as far as it
// is known without looking at packages.
func onlyUpgrades(inv Invocation, conf aptconf.Config) bool {
	if inv.Selects != "" || inv.installs() && inv.Upgrade && inv.Problem != "" {
		return true
	}
	// aptitude has no such option.
	return inv.installs() && inv.Frontend != Aptitude && conf.Bool(onlyUpgradeSetting, false)
}

// listed tells whether the policy lists the command of an invocation, under
// this name or another for the same.
func listed(inv Invocation, commands []string) bool {
	for _, command := range commands {
		if synonym(inv.Frontend, command) == synonym(inv.Frontend, inv.Verb) {
			return true
		}
	}
	return false
}

// synonym maps the names that a frontend has for one command to one of them.
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

// drySetting returns the setting in the configuration that keeps a frontend
// from changing packages, "" if there is none. aptitude and unattended-upgrade
// do not look at APT::Get.
func drySetting(f Frontend, conf aptconf.Config) string {
	// libapt itself, below all frontends
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
