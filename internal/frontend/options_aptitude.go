package frontend

// argumentKind describes whether an option of getopt_long(3) has an argument.
type argumentKind int

const (
	noArgument       argumentKind = iota
	requiredArgument              // in this word or the next
	optionalArgument              // in this word
)

// Names of the options that have a meaning here. All others are identified by their
// letter or name.
const (
	helpName         = "help"
	versionName      = "version"
	simulateName     = "simulate"
	downloadOnlyName = "download-only"
	scheduleOnlyName = "schedule-only"
	purgeUnusedName  = "purge-unused"
	quietName        = "quiet"
	settingName      = "o"
)

// aptitudeLetters returns the argument kind of a short option of aptitude 0.8.13
// (src/main.cc, "DVZWvhS:uiF:w:sO:fdyPt:q::Rro:").
func aptitudeLetters(letter byte) (argumentKind, bool) {
	switch letter {
	case 'D', 'V', 'Z', 'W', 'v', 'h', 'u', 'i', 's', 'f', 'd', 'y', 'P', 'R', 'r':
		return noArgument, true
	case 'S', 'F', 'w', 'O', 't', 'o':
		return requiredArgument, true
	case 'q':
		return optionalArgument, true
	}
	return 0, false
}

// aptitudeLetterName returns the long name of a short option that has a meaning here.
// aptitude's -v is --verbose.
func aptitudeLetterName(letter byte) string {
	switch letter {
	case 'h':
		return helpName
	case 's':
		return simulateName
	case 'd':
		return downloadOnlyName
	case 'q':
		return quietName
	case 'o':
		return settingName
	}
	return ""
}

// aptitudeLongOptions returns the long options of aptitude 0.8.13. Debian builds it
// without the GTK and Qt interfaces, so --gui and --qt are missing.
func aptitudeLongOptions() map[string]argumentKind {
	return map[string]argumentKind{
		helpName:                   noArgument,
		versionName:                noArgument,
		"display-format":           requiredArgument,
		quietName:                  optionalArgument,
		"width":                    requiredArgument,
		simulateName:               noArgument,
		"allow-untrusted":          noArgument,
		"with-recommends":          noArgument,
		"without-recommends":       noArgument,
		downloadOnlyName:           noArgument,
		"assume-yes":               noArgument,
		"verbose":                  noArgument,
		"show-versions":            noArgument,
		"show-deps":                noArgument,
		"show-why":                 noArgument,
		"prompt":                   noArgument,
		"sort":                     requiredArgument,
		"target-release":           requiredArgument,
		"disable-columns":          noArgument,
		"no-new-installs":          noArgument,
		"no-new-upgrades":          noArgument,
		"allow-new-installs":       noArgument,
		"allow-new-upgrades":       noArgument,
		"safe-resolver":            noArgument,
		"full-resolver":            noArgument,
		"show-resolver-actions":    noArgument,
		"no-show-resolver-actions": noArgument,
		"visual-preview":           noArgument,
		scheduleOnlyName:           noArgument,
		purgeUnusedName:            noArgument,
		"add-user-tag":             requiredArgument,
		"add-user-tag-to":          requiredArgument,
		"remove-user-tag":          requiredArgument,
		"remove-user-tag-from":     requiredArgument,
		"arch-only":                noArgument,
		"not-arch-only":            noArgument,
		"no-gui":                   noArgument,
		"log-level":                requiredArgument,
		"log-file":                 requiredArgument,
		"log-config-file":          requiredArgument,
		"log-resolver":             noArgument,
		"show-summary":             optionalArgument,
		"autoclean-on-startup":     noArgument,
		"clean-on-startup":         noArgument,
		"group-by":                 requiredArgument,
		"show-package-names":       requiredArgument,
		"new-gui":                  noArgument,
	}
}
