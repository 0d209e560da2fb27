package frontend

import (
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// libaptParser follows CommandLine::Parse and CommandLine::HandleOpt of
// apt-pkg/contrib/cmndline.cc, which are equal in apt 2.6 and 3.0.
type libaptParser struct {
	options []libaptOption
	args    []string
	next    int // the index of the argument after the current one
	words   []string
	dry     dryness
	config  []string
	only    bool // --only-upgrade, or an equivalent setting
}

// onlyUpgradeSetting is the setting of --only-upgrade, in lower case.
const onlyUpgradeSetting = "apt::get::only-upgrade"

// parseLibapt parses a command line of apt-get or apt.
func parseLibapt(args []string) (Invocation, operands) {
	p := libaptParser{options: libaptOptions(), args: args}
	err := p.parse()
	inv := Invocation{ConfigArgs: p.config}
	if err != nil {
		inv.Problem = err.Error()
		return inv, operands{}
	}
	rest := operands{onlyUpgrade: p.only}
	if len(p.words) > 0 {
		inv.Verb, rest.words = p.words[0], p.words[1:]
	}
	p.dry.tell(&inv)
	return inv, rest
}

func (p *libaptParser) parse() error {
	for p.next < len(p.args) {
		arg := p.args[p.next]
		p.next++
		var err error
		switch {
		case !strings.HasPrefix(arg, "-"):
			p.words = append(p.words, arg)
		case arg == "--":
			p.words = append(p.words, p.args[p.next:]...)
			return nil
		case strings.HasPrefix(arg, "--"):
			err = p.long(arg)
		default:
			err = p.cluster(arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cluster parses an argument of short options, such as -yqd or -q=2. libapt ignores a
// single dash.
func (p *libaptParser) cluster(arg string) error {
	for rest := arg[1:]; rest != ""; {
		option, known := p.byLetter(rest[0])
		if !known {
			return fmt.Errorf("option %q in %q is not known", rest[:1], arg)
		}
		used, err := p.handle(option, arg, rest[1:], false)
		if err != nil {
			return err
		}
		if used {
			return nil
		}
		rest = rest[1:]
	}
	return nil
}

// long parses an argument that starts with two dashes. A word may precede a boolean
// option: --no-simulate, --enable-simulate, --no-s.
func (p *libaptParser) long(arg string) error {
	name, _, _ := strings.Cut(arg[2:], "=")
	after := arg[2+len(name):]
	if option, known := p.byName(name); known {
		_, err := p.handle(option, arg, after, false)
		return err
	}
	_, name, found := strings.Cut(name, "-")
	if !found {
		return fmt.Errorf("option %q is not known", arg)
	}
	option, known := p.byName(name)
	if !known && len(name) == 1 {
		option, known = p.byLetter(name[0])
	}
	if !known {
		return fmt.Errorf("option %q is not known", arg)
	}
	if option.kind != boolOption {
		return fmt.Errorf("option %q is not boolean", arg)
	}
	_, err := p.handle(option, arg, after, true)
	return err
}

func (p *libaptParser) byName(name string) (libaptOption, bool) {
	name = aptconf.Fold(name)
	for _, o := range p.options {
		if o.long == name {
			return o, true
		}
	}
	return libaptOption{}, false
}

func (p *libaptParser) byLetter(letter byte) (libaptOption, bool) {
	for _, o := range p.options {
		if o.short != 0 && o.short == letter {
			return o, true
		}
	}
	return libaptOption{}, false
}

// handle applies one option of arg. after is the text after its name or letter in arg;
// preceded is true if a word precedes a boolean option. It reports whether the rest of
// arg was the option's argument.
func (p *libaptParser) handle(o libaptOption, arg, after string, preceded bool) (used bool, err error) {
	var value string
	hasValue, certain := true, false
	switch {
	case strings.HasPrefix(after, "="):
		value, certain = after[1:], true
	case after != "":
		value = after
	case p.next < len(p.args) && !strings.HasPrefix(p.args[p.next], "-"):
		value = p.args[p.next]
	default:
		hasValue = false
	}
	// consume marks the argument as used, in this word or the next
	consume := func() {
		used = true
		if after == "" {
			p.next++
		}
	}
	switch o.kind {
	case valueOption, fileOption, settingOption:
		if !hasValue {
			return false, fmt.Errorf("option %q needs an argument", arg)
		}
		consume()
		return used, p.assign(o.kind, arg, value)
	case levelOption:
		number := isDecimal(value)
		if hasValue && certain && !number && !startsWithNumber(value) {
			return false, fmt.Errorf("option %q needs a number", arg)
		}
		if hasValue && number {
			consume()
		}
		return used, nil
	}

	on := true
	if hasValue {
		b, ok := aptconf.ParseBool(value)
		switch {
		case ok:
			consume()
			p.setBool(o, arg, b)
			return used, nil
		case certain:
			return false, fmt.Errorf("%q in %q is not boolean", value, arg)
		}
	}
	if sense, _, found := strings.Cut(strings.TrimLeft(arg, "-"), "-"); preceded && found {
		b, ok := aptconf.ParseBool(sense)
		if !ok {
			return false, fmt.Errorf("%q in %q is not boolean", sense, arg)
		}
		on = b
	}
	p.setBool(o, arg, on)
	return used, nil
}

// setBool records the value of a boolean option. apt-config does not have these
// options, so it gets the setting instead.
func (p *libaptParser) setBool(o libaptOption, arg string, on bool) {
	if o.setting == "" {
		return
	}
	p.dry.set(o.setting, arg, on)
	p.only = on && o.setting == onlyUpgradeSetting || p.only && o.setting != onlyUpgradeSetting
	if printsAndExits(o.setting) {
		return
	}
	digit := "0"
	if on {
		digit = "1"
	}
	p.config = append(p.config, "--option="+o.setting+"="+digit)
}

// assign applies -c and -o.
func (p *libaptParser) assign(kind optionKind, arg, value string) error {
	switch kind {
	case fileOption:
		// the file may turn off settings that were set before
		p.dry.forget()
		p.config = append(p.config, "--config-file="+value)
	case settingOption:
		key, setting, found := strings.Cut(value, "=")
		if !found {
			return fmt.Errorf("option %q needs KEY=VALUE", arg)
		}
		on, _ := aptconf.ParseBool(setting)
		p.dry.set(key, "-o "+value, on)
		if aptconf.Fold(key) == onlyUpgradeSetting {
			p.only = on
		}
		if !printsAndExits(key) {
			p.config = append(p.config, "--option="+value)
		}
	}
	return nil
}

// printsAndExits reports whether a setting makes every program of apt print information
// about itself and exit. apt-config would do so, too, so it does not get these
// settings.
func printsAndExits(setting string) bool {
	setting = aptconf.Fold(setting)
	return setting == "help" || setting == "version"
}

// isDecimal reports whether strtol(3) with base 10 consumes all of s.
func isDecimal(s string) bool {
	digits := trimToDigits(s)
	return digits != "" && strings.Trim(digits, "0123456789") == ""
}

// startsWithNumber reports whether strtol(3) with base 10 finds a number.
func startsWithNumber(s string) bool {
	digits := trimToDigits(s)
	return digits != "" && digits[0] >= '0' && digits[0] <= '9'
}

func trimToDigits(s string) string {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	if s != "" && (s[0] == '+' || s[0] == '-') {
		s = s[1:]
	}
	return s
}
