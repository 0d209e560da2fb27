package redirect

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

// aptFiles are the items of apt's configuration that name what it reads besides
// its caches and lists (apt.conf(5)).
var aptFiles = []string{
	"Dir::Etc::sourcelist", "Dir::Etc::sourceparts",
	"Dir::Etc::netrc", "Dir::Etc::netrcparts",
	"Dir::Etc::preferences", "Dir::Etc::preferencesparts",
	"Dir::Etc::trusted", "Dir::Etc::trustedparts",
	"Acquire::http::Proxy-Auto-Detect", "Acquire::https::Proxy-Auto-Detect",
}

// Places are what a frontend reads of the running system.
type Places struct {
	Files []string // files and directories
	Disc  string   // where discs with packages are mounted; "" if it wants none
	Cache string   // apt's package cache
	Lists string   // apt's lists of packages
	// Network is what the sandbox has, as of Config.Network.
	Network string

	wrongNetwork error // why there is no Network
}

// AptPlaces returns what apt reads by its configuration, and what its sources
// name: repositories, lists of mirrors and keyrings. All is looked at, so that
// automount has mounted what it should.
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

// show has a sandbox show them.
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
	// apt tells a disc by whether it can be written to, and by how much, so
	// neither an overlay nor a copy will do.
	disc, err := filepath.EvalSymlinks(p.Disc)
	if err != nil || isHidden(disc) {
		return nil
	}
	if mounted, err := mountinfo.Mounted(disc); err == nil && mounted {
		spec.Discs = append(spec.Discs, disc)
	}
	return nil
}

// sourceTexts are the contents of apt's lists of sources (sources.list(5)).
func sourceTexts(conf aptconf.Config) []string {
	texts := []string{readText(conf.File("Dir::Etc::sourcelist"))}
	for _, pattern := range []string{"*.list", "*.sources"} {
		found, err := filepath.Glob(filepath.Join(conf.File("Dir::Etc::sourceparts"), pattern))
		if err != nil {
			continue // a name that is a bad pattern, of which apt makes what it can
		}
		for _, file := range found {
			texts = append(texts, readText(file))
		}
	}
	return texts
}

// readText returns what a file holds, "" if that can't be had: apt will say so.
func readText(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(data)
}

// inSource finds an absolute path, or a URI of something that is local, in
// either format of sources: a word, or a part of an option.
var inSource = regexp.MustCompile(`(?:^|[\s\[=,])(mirror\+)?(?:(?:file|copy):)?(?://)?(/[^\s\],]+)`)

var onDisc = regexp.MustCompile(`(?m)^[^#]*\scdrom:`)

var comment = regexp.MustCompile(`(?m)(?:^|[ \t])#.*$`)

// sourcePlaces finds the places that a list of sources names. It may find too
// many: those of sources that are switched off. read reads the lists of mirrors
// among them.
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
		text = text[at[1]:] // with what ends this one, by which the next one may begin
	}
}

// hidden returns those of some places that would not be there inside, where
// /run and /tmp are empty: where they are outside, by where they have to be
// inside.
func hidden(places []string) (map[string]string, error) {
	shown := map[string]string{}
	for _, place := range places {
		place, err := filepath.Abs(place)
		if err != nil {
			return nil, err
		}
		real, err := filepath.EvalSymlinks(place)
		if err != nil {
			continue // who reads it finds that out
		}
		if info, err := os.Stat(real); err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		for _, name := range []string{place, real} {
			switch {
			case name == "/run" || name == "/tmp":
				return nil, fmt.Errorf("cannot show %s in a boot environment, which has its own: what apt is to read there has to be in a directory below it", name)
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

// filesAmong returns those of some arguments that name regular files.
func filesAmong(args []string) []string {
	var files []string
	for _, arg := range args {
		if info, err := os.Stat(arg); err == nil && info.Mode().IsRegular() {
			files = append(files, arg)
		}
	}
	return files
}
