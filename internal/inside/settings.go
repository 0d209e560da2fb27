package inside

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// ReadsOf returns the files and directories that a frontend reads because of its
// configuration, including the configuration files.
func ReadsOf(inv frontend.Invocation, conf aptconf.Config) Places {
	reads := AptPlaces(conf)
	for _, file := range inv.ConfigFiles(os.Getenv("APT_CONFIG")) {
		reads.Files = append(append(reads.Files, file), aptconf.Included(file)...)
	}
	return reads
}

// Settings are the command line's and the environment's additions to apt's
// configuration. The zero value has none.
type Settings struct {
	args  []string          // options, as in Invocation.ConfigArgs
	texts map[string]string // contents of the files that args and $APT_CONFIG name, and of their includes
}

// SettingsOf returns the settings of an invocation, with the current contents of the
// files.
func SettingsOf(inv frontend.Invocation) Settings {
	s := Settings{args: inv.ConfigArgs, texts: map[string]string{}}
	for _, file := range inv.ConfigFiles(os.Getenv("APT_CONFIG")) {
		for _, file := range append([]string{file}, aptconf.Included(file)...) {
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
				continue // apt has already reported the error
			}
			s.texts[file] = readText(file)
		}
	}
	return s
}

// Args returns the options that set apt's configuration, as the user gave them.
func (s Settings) Args() []string { return s.args }

// settingsInside is the prefix of the names of settings files in a sandbox.
const settingsInside = RunDir + "/settings"

// includes matches the #include statements of apt's configuration files.
var includes = regexp.MustCompile(`(?m)^(\s*#include\s+")([^"\n]+)(")`)

// give adds the settings files to a sandbox in which a root is examined, because the
// sandbox has no other file systems of the running root. It returns the options for
// apt-get in the sandbox.
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
