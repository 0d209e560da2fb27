package redirect

import (
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// Frontend is a command that changes packages and in whose place a wrapper
// stands. The zero Frontend is AptGet.
type Frontend int

// The frontends.
const (
	AptGet Frontend = iota
	Apt
	Aptitude
	UnattendedUpgrade
)

// Frontends returns all of them.
func Frontends() []Frontend { return []Frontend{AptGet, Apt, Aptitude, UnattendedUpgrade} }

// String returns the name of the command.
func (f Frontend) String() string {
	switch f {
	case AptGet:
		return "apt-get"
	case Apt:
		return "apt"
	case Aptitude:
		return "aptitude"
	case UnattendedUpgrade:
		return "unattended-upgrade"
	}
	return "unknown frontend"
}

// FrontendOf tells which frontend a program was called as, from its argv[0],
// with or without a directory. Debian has aptitude as aptitude-curses, and
// unattended-upgrade also in the plural.
func FrontendOf(argv0 string) (Frontend, bool) {
	switch path.Base(argv0) {
	case "apt-get":
		return AptGet, true
	case "apt":
		return Apt, true
	case "aptitude", "aptitude-curses":
		return Aptitude, true
	case "unattended-upgrade", "unattended-upgrades":
		return UnattendedUpgrade, true
	}
	return 0, false
}

// Invocation is what a command line asks a frontend to do, as the frontend
// itself would understand it.
type Invocation struct {
	Frontend Frontend
	// Verb is the command, such as "dist-upgrade", "" if there is none; that
	// of unattended-upgrade is always "unattended-upgrade". aptitude's, for
	// which case does not matter, is in lower case.
	Verb string
	// Upgrade says that this is redirected by default: Verb is one that is, or
	// Selects says so, or --only-upgrade.
	Upgrade bool
	// Selects is the first pattern of an install that selects nothing but what is
	// installed, such as "?upgradable", "" if there is none: it may upgrade all.
	Selects string
	// Dry says that this invocation changes no package, whatever apt's
	// configuration says. It is true only when that is certain: an upgrade
	// taken for dry would be done on the running root, while the other
	// mistake costs a snapshot that is thrown away.
	Dry bool
	// DryReason says why, as a sentence's end: "-s only simulates".
	DryReason string
	// ConfigArgs are the options that set apt's configuration, in their
	// order, as arguments for apt-config(8). With them, it has the effective
	// APT::Get::Simulate, APT::Get::Download-Only, APT::Get::Print-URIs,
	// Debug::pkgDPkgPM and Apt-Be::*.
	ConfigArgs []string
	// Problem is the first thing on the command line that this package does
	// not understand, "" if there is none. The frontend may know better: it
	// can be of a newer release.
	Problem string
}

// operands are what a command line has besides options.
type operands struct {
	words       []string // after the verb
	onlyUpgrade bool     // --only-upgrade is on, as far as the command line tells
}

// Parse reads the arguments of a frontend, without its own name. env is the
// environment that the frontend will have, KEY=VALUE: of all that, only
// POSIXLY_CORRECT matters, and only to aptitude (getopt_long(3)).
func Parse(f Frontend, args []string, env ...string) Invocation {
	var inv Invocation
	var rest operands
	switch f {
	case AptGet, Apt:
		inv, rest = parseLibapt(args)
	case Aptitude:
		inv, rest = parseAptitude(args, hasVariable(env, "POSIXLY_CORRECT"))
	case UnattendedUpgrade:
		inv = parseUnattended(args)
	}
	inv.Frontend = f
	if inv.Problem != "" {
		// what follows the problem is not understood, and what was before
		// it may have been overruled
		inv.Dry, inv.DryReason = false, ""
		if f != UnattendedUpgrade {
			inv.Verb = guessVerb(f, args)
			rest = operands{words: args, onlyUpgrade: slices.Contains(args, "--only-upgrade")}
		}
	}
	inv.Upgrade = slices.Contains(aptconf.DefaultCommands(), inv.Verb)
	if inv.installs() {
		inv.Selects = upgradingWord(rest.words)
		inv.Upgrade = inv.Selects != "" || rest.onlyUpgrade && f != Aptitude
	}
	return inv
}

// installs tells of the commands that upgrade what they are to install and is
// installed. aptitude's reinstall does not.
func (inv Invocation) installs() bool {
	return inv.Verb == "install" || inv.Verb == "reinstall" && inv.Frontend != Aptitude
}

// Candidate tells whether this invocation may have to be redirected, so that
// apt's configuration must be read to know. It is false for all that never is,
// such as update, list and simulations.
func (inv Invocation) Candidate() bool {
	return aptconf.Redirectable(inv.Verb) && !inv.Dry
}

// guessVerb returns the first argument that is a command that a frontend has.
// libapt itself finds the table of options that are valid so
// (CommandLine::GetCommand).
func guessVerb(f Frontend, args []string) string {
	for _, arg := range args {
		if f == Aptitude {
			arg = aptconf.Fold(arg)
		}
		if slices.Contains(verbs(f), arg) {
			return arg
		}
	}
	return ""
}

func hasVariable(env []string, name string) bool {
	return slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name+"=") })
}

// dryness keeps which of the settings that make an invocation dry are on, and
// for each the option that did it.
type dryness struct {
	by map[string]string
}

// set enters that an option turned a setting on or off. Settings that make
// nothing dry are ignored.
func (d *dryness) set(setting, option string, on bool) {
	setting = aptconf.Fold(setting)
	if _, known := dryWords(setting); !known {
		return
	}
	if d.by == nil {
		d.by = map[string]string{}
	}
	delete(d.by, setting)
	if on {
		d.by[setting] = option
	}
}

// forget makes all uncertain.
func (d *dryness) forget() { d.by = nil }

// tell enters the result in an invocation.
func (d *dryness) tell(inv *Invocation) {
	for _, setting := range drySettings() {
		if option, on := d.by[setting]; on {
			words, _ := dryWords(setting)
			inv.Dry, inv.DryReason = true, option+" "+words
			return
		}
	}
}

// drySettings returns the settings of libapt, in lower case, that keep it from
// changing packages, and those of the others under names of the same form.
func drySettings() []string {
	return []string{"help", "version", "apt::get::simulate", "apt::get::download-only",
		"apt::get::print-uris", "debug::pkgdpkgpm", "schedule-only"}
}

// dryWords says what one of drySettings does.
func dryWords(setting string) (words string, known bool) {
	switch setting {
	case "help":
		return "only prints help", true
	case "version":
		return "only prints the version", true
	case "apt::get::simulate":
		return "only simulates", true
	case "apt::get::download-only":
		return "only downloads", true
	case "apt::get::print-uris":
		return "only prints what it would download", true
	case "debug::pkgdpkgpm":
		return "only prints the calls of dpkg", true
	case "schedule-only":
		return "only notes what to do later", true
	}
	return "", false
}
