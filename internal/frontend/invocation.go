package frontend

import (
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// Frontend is a command that changes packages and that a wrapper replaces. The zero
// value is AptGet.
type Frontend int

// The frontends.
const (
	AptGet Frontend = iota
	Apt
	Aptitude
	UnattendedUpgrade
)

// Frontends returns all frontends.
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

// DivertedSuffix is the suffix that dpkg-divert adds to the name of a frontend that a
// wrapper replaces.
const DivertedSuffix = ".distrib"

// FrontendOf returns the frontend that argv[0] names, with or without a directory.
// Debian installs aptitude as aptitude-curses, and unattended-upgrade also under a
// plural name.
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

// Invocation is a parsed command line: the task for the frontend, in the frontend's own
// interpretation.
type Invocation struct {
	Frontend Frontend
	// Verb is the command, such as "dist-upgrade", or "". For unattended-upgrade it is
	// always "unattended-upgrade". For aptitude, which ignores case, it is in lower
	// case.
	Verb string
	// Upgrade is true if the invocation is redirected by default: because of Verb, of
	// Selects, or of --only-upgrade.
	Upgrade bool
	// Selects is the first pattern of an install command that selects only installed
	// packages, such as "?upgradable", or "". Such a command may upgrade everything.
	Selects string
	// Dry is true if this invocation certainly changes no package, whatever apt's
	// configuration says. If an upgrade were mistaken for a dry run, it would change
	// the running root; the opposite mistake only costs a snapshot that is deleted.
	Dry bool
	// DryReason is the reason, as the end of a sentence: "-s only simulates".
	DryReason string
	// ConfigArgs are the options that set apt's configuration, in order, as arguments
	// for apt-config(8). With them apt-config prints the effective APT::Get::Simulate,
	// APT::Get::Download-Only, APT::Get::Print-URIs, Debug::pkgDPkgPM and Apt-Be::*.
	ConfigArgs []string
	// Problem describes the first argument that this package does not understand, or is
	// "". The frontend may understand it, because it may be of a newer release.
	Problem string
}

// operands are the arguments that are not options.
type operands struct {
	words       []string // the words after the verb
	onlyUpgrade bool     // --only-upgrade is set on the command line
}

// Parse parses the arguments of a frontend, without argv[0]. env is the frontend's
// environment, as KEY=VALUE. Only POSIXLY_CORRECT has an effect, and only for aptitude
// (getopt_long(3)).
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
		// the arguments after the problem are not understood, and may override the
		// earlier ones
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

// installs reports whether the command upgrades packages that are named and already
// installed. aptitude's reinstall does not.
func (inv Invocation) installs() bool {
	return inv.Verb == "install" || inv.Verb == "reinstall" && inv.Frontend != Aptitude
}

// Candidate reports whether this invocation may have to be redirected, so that apt's
// configuration must be read. It is false for commands such as update and list, and for
// simulations.
func (inv Invocation) Candidate() bool {
	return aptconf.Redirectable(inv.Verb) && !inv.Dry
}

// ConfigFiles returns the configuration files of apt that the invocation names.
// aptConfig is the value of $APT_CONFIG.
func (inv Invocation) ConfigFiles(aptConfig string) []string {
	var files []string
	if aptConfig != "" {
		files = append(files, aptConfig)
	}
	for _, arg := range inv.ConfigArgs {
		if file, ok := strings.CutPrefix(arg, "--config-file="); ok {
			files = append(files, file)
		}
	}
	return files
}

// guessVerb returns the first argument that is a command of the frontend. libapt
// selects its table of valid options in the same way (CommandLine::GetCommand).
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

// dryness records which settings make an invocation dry, and which option set each of
// them.
type dryness struct {
	by map[string]string
}

// set records that an option turned a setting on or off. It ignores settings that do
// not make an invocation dry.
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

// forget drops all records: the state of the settings is uncertain.
func (d *dryness) forget() { d.by = nil }

// tell writes the result to an invocation.
func (d *dryness) tell(inv *Invocation) {
	for _, setting := range drySettings() {
		if option, on := d.by[setting]; on {
			words, _ := dryWords(setting)
			inv.Dry, inv.DryReason = true, option+" "+words
			return
		}
	}
}

// drySettings returns the settings of libapt, in lower case, that prevent changes of
// packages, and the corresponding settings of other frontends under names of the same
// form.
func drySettings() []string {
	return []string{"help", "version", "apt::get::simulate", "apt::get::download-only",
		"apt::get::print-uris", "debug::pkgdpkgpm", "schedule-only"}
}

// dryWords describes the effect of one of drySettings.
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
