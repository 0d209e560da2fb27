package frontend

// optionKind is the kind of argument that an option takes.
type optionKind int

const (
	boolOption    optionKind = iota // nothing, or a boolean
	valueOption                     // a value
	levelOption                     // nothing, or a number
	fileOption                      // a configuration file
	settingOption                   // KEY=VALUE
)

// libaptOption is an option of apt-get and apt. It may have only one of the two names.
type libaptOption struct {
	short   byte
	long    string
	kind    optionKind
	setting string // the setting that a boolOption sets, if it matters here
}

// libaptOptions is the table of options for the commands of apt-get and apt that change
// packages; it is the same for both in apt 2.6, 3.0 and 3.3. It is the union of 3.3's
// (apt-private/private-cmndline.cc, addArgumentsAPTGet and getCommandArgs), of 3.0's,
// which lacks --cli-version, and of 2.6's, which also lacks -S, -U, --comment,
// --list-columns, --strict-pinning, --color and --audit. An older apt reports such
// options as errors, and the unchanged snapshot is deleted. The same holds for
// history-undo and similar commands, which accept few of these options.
func libaptOptions() []libaptOption {
	return []libaptOption{
		{'s', "simulate", boolOption, "apt::get::simulate"},
		{'s', "just-print", boolOption, "apt::get::simulate"},
		{'s', "recon", boolOption, "apt::get::simulate"},
		{'s', "dry-run", boolOption, "apt::get::simulate"},
		{'s', "no-act", boolOption, "apt::get::simulate"},
		{'d', "download-only", boolOption, "apt::get::download-only"},
		{0, "print-uris", boolOption, "apt::get::print-uris"},
		{'h', "help", boolOption, "help"},
		{'v', "version", boolOption, "version"},

		{'c', "config-file", fileOption, ""},
		{'o', "option", settingOption, ""},
		{'q', "quiet", levelOption, ""},
		{'q', "silent", levelOption, ""},

		{'S', "snapshot", valueOption, ""},
		{'t', "target-release", valueOption, ""},
		{'t', "default-release", valueOption, ""},
		{'a', "host-architecture", valueOption, ""}, // only for build-dep and satisfy
		{'P', "build-profiles", valueOption, ""},    // only for build-dep and satisfy
		{0, "solver", valueOption, ""},
		{0, "planner", valueOption, ""},
		{0, "comment", valueOption, ""},
		{0, "with-source", valueOption, ""},
		{0, "cli-version", valueOption, ""},

		{'U', "update", boolOption, ""},
		{'V', "verbose-versions", boolOption, ""},
		{'f', "fix-broken", boolOption, ""},
		{'m', "ignore-missing", boolOption, ""},
		{'u', "show-upgraded", boolOption, ""},
		{'y', "yes", boolOption, ""},
		{'y', "assume-yes", boolOption, ""},
		{0, "assume-no", boolOption, ""},
		{0, "allow-change-held-packages", boolOption, ""},
		{0, "allow-downgrades", boolOption, ""},
		{0, "allow-remove-essential", boolOption, ""},
		{0, "allow-unauthenticated", boolOption, ""},
		{0, "arch-only", boolOption, ""},
		{0, "audit", boolOption, ""},
		{0, "auto-remove", boolOption, ""},
		{0, "autoremove", boolOption, ""},
		{0, "color", boolOption, ""},
		{0, "download", boolOption, ""},
		{0, "fix-missing", boolOption, ""},
		{0, "fix-policy", boolOption, ""},
		{0, "force-yes", boolOption, ""},
		{0, "ignore-hold", boolOption, ""},
		{0, "indep-only", boolOption, ""},
		{0, "install-recommends", boolOption, ""},
		{0, "install-suggests", boolOption, ""},
		{0, "list-columns", boolOption, ""},
		{0, "mark-auto", boolOption, ""},
		{0, "new-pkgs", boolOption, ""},
		{0, "only-source", boolOption, ""},
		{0, "only-upgrade", boolOption, onlyUpgradeSetting},
		{0, "purge", boolOption, ""},
		{0, "reinstall", boolOption, ""},
		{0, "remove", boolOption, ""},
		{0, "show-progress", boolOption, ""},
		{0, "strict-pinning", boolOption, ""},
		{0, "trivial-only", boolOption, ""},
		{0, "upgrade", boolOption, ""},
	}
}

// verbs returns the commands of a frontend in apt 3.3 and aptitude 0.8.13.
// unattended-upgrade has none.
func verbs(f Frontend) []string {
	switch f {
	case AptGet, Apt:
		return []string{"help", "update", "upgrade", "install", "reinstall", "remove", "purge",
			"autoremove", "auto-remove", "autopurge", "markauto", "unmarkauto", "dist-upgrade",
			"full-upgrade", "dselect-upgrade", "build-dep", "satisfy", "clean", "autoclean",
			"auto-clean", "distclean", "dist-clean", "check", "source", "download", "changelog",
			"indextargets", "moo", "list", "search", "show", "edit-sources", "modernize-sources",
			"showsrc", "depends", "rdepends", "policy", "info", "why", "why-not", "history-list",
			"history-info", "history-redo", "history-undo", "history-rollback"}
	case Aptitude:
		return []string{"update", "clean", "autoclean", "forget-new", "search", "versions", "why",
			"why-not", "hold", "unhold", "forbid-version", "markauto", "unmarkauto", "keep",
			"keep-all", "install", "reinstall", "dist-upgrade", "full-upgrade", "safe-upgrade",
			"upgrade", "remove", "purge", "build-dep", "build-depends", "add-user-tag",
			"remove-user-tag", "extract-cache-subset", "changelog", "moo", "show",
			"dump-resolver", "check-resolver", "help", "nop", "nop-noselections", "download",
			"showsrc", "source"}
	}
	return nil
}
