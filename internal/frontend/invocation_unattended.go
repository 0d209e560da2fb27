package frontend

import (
	"fmt"
	"strings"
)

// unattendedOptions maps the long options of unattended-upgrade 2.9 and 2.12 to their
// meaning here, or to "". None takes a value. -d is --debug and -v is --verbose; there
// is no --version.
func unattendedOptions() map[string]string {
	return map[string]string{
		"help":                     "help",
		"debug":                    "",
		"apt-debug":                "",
		"verbose":                  "",
		"dry-run":                  "apt::get::simulate",
		"download-only":            "apt::get::download-only",
		"minimal-upgrade-steps":    "",
		"no-minimal-upgrade-steps": "",
		"minimal_upgrade_steps":    "",
	}
}

// parseUnattended parses a command line of unattended-upgrade like Python's optparse:
// options may follow words, words have no meaning, and no option can be turned off
// again.
func parseUnattended(args []string) Invocation {
	inv := Invocation{Verb: UnattendedUpgrade.String()}
	var dry dryness
	if err := unattendedDryness(args, &dry); err != nil {
		inv.Problem = err.Error()
		return inv
	}
	dry.tell(&inv)
	return inv
}

func unattendedDryness(args []string, dry *dryness) error {
	options := unattendedOptions()
	for _, arg := range args {
		switch {
		case arg == "--":
			return nil
		case strings.HasPrefix(arg, "--"):
			name, _, hasValue := strings.Cut(arg[2:], "=")
			full, found := byPrefix(options, name)
			switch {
			case !found:
				return fmt.Errorf("option %q is not known, or an ambiguous abbreviation", arg)
			case hasValue:
				return fmt.Errorf("option %q takes no value", arg)
			}
			dry.set(options[full], arg, true)
			if full == helpName {
				return nil
			}
		case len(arg) > 1 && arg[0] == '-':
			for _, letter := range arg[1:] {
				switch letter {
				case 'd', 'v':
				case 'h':
					dry.set(helpName, arg, true)
					return nil
				default:
					return fmt.Errorf("option %q in %q is not known", letter, arg)
				}
			}
		}
	}
	return nil
}
