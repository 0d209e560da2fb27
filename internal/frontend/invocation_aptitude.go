package frontend

import (
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// aptitudeParser follows getopt_long(3) of glibc and the handling of options in
// aptitude's main (src/main.cc of 0.8.13).
type aptitudeParser struct {
	args   []string
	next   int
	words  []string
	dry    dryness
	config []string
	ended  bool // an option printed something and exits at once
}

// parseAptitude parses a command line of aptitude. If posix is true, options end at the
// first word.
func parseAptitude(args []string, posix bool) (Invocation, operands) {
	p := aptitudeParser{args: args}
	err := p.parse(posix)
	inv, rest := Invocation{ConfigArgs: p.config}, operands{}
	switch {
	case err != nil:
		inv.Problem = err.Error()
		return inv, rest
	case p.ended:
		inv.Verb = guessVerb(Aptitude, args)
	case len(p.words) > 0:
		inv.Verb, rest.words = aptconf.Fold(p.words[0]), p.words[1:]
	}
	p.dry.tell(&inv)
	return inv, rest
}

func (p *aptitudeParser) parse(posix bool) error {
	for p.next < len(p.args) && !p.ended {
		arg := p.args[p.next]
		p.next++
		var err error
		switch {
		case arg == "--":
			p.words = append(p.words, p.args[p.next:]...)
			return nil
		case strings.HasPrefix(arg, "--"):
			err = p.long(arg)
		case len(arg) > 1 && arg[0] == '-':
			err = p.cluster(arg)
		case posix:
			p.words = append(p.words, p.args[p.next-1:]...)
			return nil
		default:
			p.words = append(p.words, arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *aptitudeParser) long(arg string) error {
	name, value, hasValue := strings.Cut(arg[2:], "=")
	options := aptitudeLongOptions()
	full, found := byPrefix(options, name)
	switch {
	case !found:
		return fmt.Errorf("option %q is not known, or an ambiguous abbreviation", arg)
	case full == purgeUnusedName && arg != "--"+full:
		return fmt.Errorf("aptitude does not take %q as --%s", arg, full)
	case hasValue && options[full] == noArgument:
		return fmt.Errorf("option %q takes no argument", arg)
	case !hasValue && options[full] == requiredArgument:
		if _, err := p.argument(arg); err != nil {
			return err
		}
	}
	return p.apply(full, arg, value, hasValue)
}

func (p *aptitudeParser) cluster(arg string) error {
	for i := 1; i < len(arg) && !p.ended; i++ {
		kind, known := aptitudeLetters(arg[i])
		if !known {
			return fmt.Errorf("option %q in %q is not known", arg[i:i+1], arg)
		}
		name := aptitudeLetterName(arg[i])
		value, hasValue := "", false
		if kind != noArgument {
			value = arg[i+1:]
			hasValue = value != ""
			i = len(arg)
		}
		if kind == requiredArgument && !hasValue {
			var err error
			if value, err = p.argument(arg); err != nil {
				return err
			}
			hasValue = true
		}
		if err := p.apply(name, arg, value, hasValue); err != nil {
			return err
		}
	}
	return nil
}

// argument consumes the next word, even if it looks like an option.
func (p *aptitudeParser) argument(arg string) (string, error) {
	if p.next >= len(p.args) {
		return "", fmt.Errorf("option %q needs an argument", arg)
	}
	p.next++
	return p.args[p.next-1], nil
}

// apply applies an option.
func (p *aptitudeParser) apply(name, arg, value string, hasValue bool) error {
	switch name {
	case helpName, versionName:
		p.dry.set(name, arg, true)
		p.ended = true
	case simulateName:
		p.dry.set("apt::get::simulate", arg, true)
	case downloadOnlyName:
		p.dry.set("apt::get::download-only", arg, true)
	case scheduleOnlyName:
		p.dry.set(scheduleOnlyName, arg, true)
	case quietName:
		// strtol(3) with base 0
		if number := strings.TrimPrefix(value, "="); hasValue && !aptconf.IsInt(number) {
			return fmt.Errorf("option %q needs a number", arg)
		}
	case settingName:
		p.setting(value)
	}
	return nil
}

// setting applies -o. aptitude ignores a setting without a value, with a warning. It
// reads its own Aptitude::Simulate and similar settings before the command line, so -o
// does not set them.
func (p *aptitudeParser) setting(value string) {
	key, setting, _ := strings.Cut(value, "=")
	if setting == "" || isAptitudeDry(key) || printsAndExits(key) {
		return
	}
	on, _ := aptconf.ParseBool(setting)
	if aptconf.Fold(key) == "debug::pkgdpkgpm" {
		p.dry.set(key, "-o "+value, on)
	}
	p.config = append(p.config, "--option="+value)
}

// isAptitudeDry reports whether an item of aptitude's configuration turns every command
// into a simulation or a download.
func isAptitudeDry(key string) bool {
	switch aptconf.Fold(key) {
	case "aptitude::simulate", "aptitude::cmdline::simulate", "aptitude::cmdline::download-only":
		return true
	}
	return false
}
