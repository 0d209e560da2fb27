package redirect

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// HookInput is what apt tells a DPkg::Pre-Install-Pkgs hook of version 3
// (apt.conf(5), apt-pkg/deb/dpkgpm.cc).
type HookInput struct {
	Config   aptconf.Config
	Upgrades []string // the names of the packages that get a newer version
}

// ReadHookInput reads it: the version, the configuration as NAME=VALUE with
// escapes, an empty line, and a line for each package.
func ReadHookInput(r io.Reader) (HookInput, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	if !scanner.Scan() || strings.TrimSpace(scanner.Text()) != "VERSION 3" {
		return HookInput{}, fmt.Errorf("cannot read apt's hook protocol: it does not begin with VERSION 3: %w", scanner.Err())
	}
	var dump strings.Builder
	for scanner.Scan() && scanner.Text() != "" {
		name, value, ok := strings.Cut(scanner.Text(), "=")
		if !ok || !strings.HasPrefix(aptconf.Fold(name), "apt-be") {
			continue
		}
		// In the form of apt-config dump, which has the same escapes.
		fmt.Fprintf(&dump, "%s \"%s\"\n", name, value)
	}
	conf, err := aptconf.Parse([]byte(dump.String()))
	if err != nil {
		return HookInput{}, err
	}
	in := HookInput{Config: conf}
	for scanner.Scan() {
		// package, old version, arch, multi-arch, <, new version, arch, multi-arch, file
		fields := strings.Fields(scanner.Text())
		if len(fields) >= 9 && fields[1] != "-" && fields[4] == "<" {
			in.Upgrades = append(in.Upgrades, fields[0])
		}
	}
	return in, scanner.Err()
}
