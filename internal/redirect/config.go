package redirect

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// ReadsOf returns what the frontend of an invocation reads by its configuration,
// the files of that among it.
func ReadsOf(inv Invocation, conf aptconf.Config) Places {
	reads := AptPlaces(conf)
	for _, file := range configFiles(inv, os.Getenv("APT_CONFIG")) {
		reads.Files = append(append(reads.Files, file), aptconf.Included(file)...)
	}
	return reads
}

// Settings are what a command line and the environment have added to apt's
// configuration. The zero Settings are none.
type Settings struct {
	args  []string          // options as of Invocation.ConfigArgs
	texts map[string]string // of the files that they and $APT_CONFIG name, and of those that these include
}

// SettingsOf returns the settings of an invocation, with the files as they are now.
func SettingsOf(inv Invocation) Settings {
	s := Settings{args: inv.ConfigArgs, texts: map[string]string{}}
	for _, file := range configFiles(inv, os.Getenv("APT_CONFIG")) {
		for _, file := range append([]string{file}, aptconf.Included(file)...) {
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				continue // what apt makes of that it has said by now
			}
			s.texts[file] = readText(file)
		}
	}
	return s
}

// settingsInside begins the names of such files in a sandbox.
const settingsInside = runDir + "/settings"

// includes finds the statements by which a file of apt's configuration includes others.
var includes = regexp.MustCompile(`(?m)^(\s*#include\s+")([^"\n]+)(")`)

// give has a sandbox in which a root is examined find the same settings, wherever
// their files are: it has no file systems of the running root but that one. It
// returns the options for apt-get there.
func (s Settings) give(spec *sandbox.Spec) (args []string) {
	places := map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(s.texts)) {
		places[file] = fmt.Sprintf("%s-%d", settingsInside, len(places))
	}
	for file, text := range s.texts {
		if spec.Texts == nil {
			spec.Texts = map[string]string{}
		}
		spec.Texts[places[file]] = includes.ReplaceAllStringFunc(text, func(statement string) string {
			parts := includes.FindStringSubmatch(statement)
			if place := places[parts[2]]; place != "" {
				return parts[1] + place + parts[3]
			}
			return statement
		})
	}
	spec.Env = slices.DeleteFunc(spec.Env, func(entry string) bool { return strings.HasPrefix(entry, "APT_CONFIG=") })
	if place := places[os.Getenv("APT_CONFIG")]; place != "" {
		spec.Env = append(spec.Env, "APT_CONFIG="+place)
	}
	for _, arg := range s.args {
		if file, ok := strings.CutPrefix(arg, "--config-file="); ok && places[file] != "" {
			arg = "--config-file=" + places[file]
		}
		args = append(args, arg)
	}
	return args
}
