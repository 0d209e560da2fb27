package inside

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/moby/sys/mountinfo"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// aptFiles are the items of apt's configuration that name files that it reads, besides
// its caches and lists (apt.conf(5)).
var aptFiles = []string{
	"Dir::Etc::sourcelist", "Dir::Etc::sourceparts",
	"Dir::Etc::netrc", "Dir::Etc::netrcparts",
	"Dir::Etc::preferences", "Dir::Etc::preferencesparts",
	"Dir::Etc::trusted", "Dir::Etc::trustedparts",
	"Acquire::http::Proxy-Auto-Detect", "Acquire::https::Proxy-Auto-Detect",
}

// Places are the files and directories of the running system that a frontend reads.
type Places struct {
	Files []string // files and directories
	Disc  string   // the mount point of discs with packages; "" if none is needed
	Cache string   // apt's package cache
	Lists string   // apt's package lists
	// Network is the sandbox's network policy, from Config.Network.
	Network string

	wrongNetwork error // the error of an invalid Network
}

// AptPlaces returns the files and directories that apt reads by its configuration, and
// those that its sources name: repositories, mirror lists and keyrings. It accesses
// each, so that automount mounts it.
func AptPlaces(conf aptconf.Config) Places {
	p := Places{Cache: conf.File("Dir::Cache::archives"), Lists: conf.File("Dir::State::lists")}
	p.Network, p.wrongNetwork = conf.Network()
	for _, item := range aptFiles {
		if file := conf.File(item); file != "" {
			p.Files = append(p.Files, file)
		}
	}
	for _, text := range sourceTexts(conf) {
		p.Files = append(p.Files, sourcePlaces(text, readText)...)
		if onDisc.MatchString(text) {
			p.Disc = conf.File("Acquire::cdrom::mount")
		}
	}
	for _, file := range p.Files {
		_, _ = os.Stat(file + "/.")
	}
	return p
}

// show makes a sandbox show the places.
func (p Places) show(spec *sandbox.Spec) (err error) {
	if p.wrongNetwork != nil {
		return p.wrongNetwork
	}
	spec.Network = p.Network
	if spec.Shown, err = hidden(p.Files); err != nil {
		return err
	}
	if p.Disc == "" {
		return nil
	}
	// apt identifies a disc by its writability and size, so neither an overlay nor a
	// copy is possible.
	disc, err := filepath.EvalSymlinks(p.Disc)
	if err != nil || isHidden(disc) {
		return nil
	}
	if mounted, err := mountinfo.Mounted(disc); err == nil && mounted {
		spec.Discs = append(spec.Discs, disc)
	}
	return nil
}

// sourceTexts returns the contents of apt's source lists (sources.list(5)).
func sourceTexts(conf aptconf.Config) []string {
	texts := []string{readText(conf.File("Dir::Etc::sourcelist"))}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := filepath.Glob(filepath.Join(conf.File("Dir::Etc::sourceparts"), pattern))
		if err != nil {
			continue // the name is a bad pattern; apt does with it what it can
		}
		for _, file := range found {
			texts = append(texts, readText(file))
		}
	}
	return texts
}

// readText returns the content of a file, or "" if it cannot be read; then apt reports
// the error.
func readText(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(data)
}

// inSource matches an absolute path, or the URI of a local file, in both formats of
// sources: as a word, or as a part of an option.
var inSource = regexp.MustCompile(`(?:^|[\s\[=,])(mirror\+)?(?:(?:file|copy):)?(?://)?(/[^\s\],]+)`)

var onDisc = regexp.MustCompile(`(?m)^[^#]*\scdrom:`)

var comment = regexp.MustCompile(`(?m)(?:^|[ \t])#.*$`)

// sourcePlaces returns the places that a source list names, and possibly more: it
// includes disabled sources. read reads the mirror lists among them.
func sourcePlaces(text string, read func(file string) string) []string {
	var places []string
	for text = comment.ReplaceAllString(text, ""); ; {
		at := inSource.FindStringSubmatchIndex(text)
		if at == nil {
			return places
		}
		place := text[at[4]:at[5]]
		if plain, err := url.PathUnescape(place); err == nil {
			place = plain
		}
		place = filepath.Clean(place)
		places = append(places, place)
		if at[2] >= 0 { // "mirror+"
			places = append(places, sourcePlaces(read(place), func(string) string { return "" })...)
		}
		text = text[at[1]:] // keep the separator, by which the next place may begin
	}
}

// hidden returns the places that are hidden inside, because /run and /tmp are empty
// there. It maps each path outside to the required path inside.
func hidden(places []string) (map[string]string, error) {
	shown := map[string]string{}
	for _, place := range places {
		place, err := filepath.Abs(place)
		if err != nil {
			return nil, err
		}
		real, err := filepath.EvalSymlinks(place)
		if err != nil {
			continue // apt will report the error
		}
		if info, err := os.Stat(real); err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		for _, name := range []string{place, real} {
			switch {
			case name == "/run" || name == "/tmp":
				return nil, fmt.Errorf("cannot show %s in a boot environment, because the environment has its own; move the files for apt to a directory below it", name)
			case isHidden(name):
				shown[name] = real
			}
		}
	}
	return shown, nil
}

func isHidden(place string) bool {
	return strings.HasPrefix(place, "/tmp/") || strings.HasPrefix(place, "/run/")
}

// filesAmong returns the arguments that name regular files.
func filesAmong(args []string) []string {
	var files []string
	for _, arg := range args {
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
			files = append(files, arg)
		}
	}
	return files
}
