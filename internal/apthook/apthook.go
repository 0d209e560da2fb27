// Package apthook reads the input that apt gives to hooks, and recognizes the program
// that calls a hook.
package apthook

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// Input is the input of a DPkg::Pre-Install-Pkgs hook in version 3 (apt.conf(5),
// apt-pkg/deb/dpkgpm.cc).
type Input struct {
	Config   aptconf.Config
	Packages []string            // one line for each changed package, as apt writes it
	Upgrades []string            // the names of the packages that are upgraded
	Archives []diskspace.Archive // the package files that dpkg will unpack, in this order
}

// commandLine is the item with the command that libapt writes to its history.
// python-apt programs do not set it.
const commandLine = "CommandLine::AsString"

// PackageKit reports whether PackageKit's daemon called the hook.
func (in Input) PackageKit() bool {
	return strings.HasPrefix(in.Config.String(commandLine, ""), "packagekit ")
}

// Command returns the words of the command that libapt writes to its history; none if
// the program did not set it.
func (in Input) Command() []string {
	return strings.Fields(in.Config.String(commandLine, ""))
}

// Occasion describes, as a clause, the imminent change of the running system.
func (in Input) Occasion() string {
	if len(in.Upgrades) == 1 {
		return in.Upgrades[0] + " was upgraded in the running system"
	}
	return fmt.Sprintf("%d packages of the running system were upgraded", len(in.Upgrades))
}

// Changed returns the names of installed packages that change: upgraded and removed
// ones.
func (in Input) Changed() []string {
	var names []string
	for _, line := range in.Packages {
		if fields := strings.Fields(line); fields[1] != "-" && fields[8] != "**CONFIGURE**" {
			names = append(names, fields[0])
		}
	}
	return names
}

// UpgradesInSteps reports whether a process with these arguments, including the
// interpreter, is unattended-upgrade, which upgrades a few packages at a time.
func UpgradesInSteps(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		f, ok := frontend.FrontendOf(strings.TrimSuffix(arg, frontend.DivertedSuffix))
		return ok && f == frontend.UnattendedUpgrade
	})
}

// noDpkg is set if libapt only prints its calls of dpkg, as for unattended-upgrade
// --dry-run. Hooks run all the same.
const noDpkg = "Debug::pkgDPkgPM"

// ChangesNothing reports whether this run of apt changes no installed package.
func (in Input) ChangesNothing() bool {
	return len(in.Upgrades) == 0 || in.Config.Bool(noDpkg, false)
}

// Read parses the input: the version, the configuration as NAME=VALUE with
// escapes, an empty line, and one line per package.
func Read(r io.Reader) (Input, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	if !scanner.Scan() || strings.TrimSpace(scanner.Text()) != "VERSION 3" {
		err := errors.Join(errors.New("the first line is not VERSION 3"), scanner.Err())
		return Input{}, fmt.Errorf("cannot read apt's hook protocol: %w", err)
	}
	var dump strings.Builder
	for scanner.Scan() && scanner.Text() != "" {
		// This is the format of aptconf.Parse, in which an '=' in a name is escaped.
		name := aptconf.Fold(scanner.Text())
		if strings.HasPrefix(name, "apt-be::") || strings.HasPrefix(name, aptconf.Fold(noDpkg)+"=") || strings.HasPrefix(name, aptconf.Fold(commandLine)+"=") {
			dump.WriteString(scanner.Text() + "\n")
		}
	}
	conf, err := aptconf.Parse([]byte(dump.String()))
	if err != nil {
		return Input{}, err
	}
	in := Input{Config: conf.From(aptconf.Query{Env: os.Environ()})}
	for scanner.Scan() {
		// package, old version, arch, multi-arch, <, new version, arch, multi-arch, file
		fields := strings.Fields(scanner.Text())
		if len(fields) < 9 {
			continue
		}
		in.Packages = append(in.Packages, scanner.Text())
		if fields[1] != "-" && fields[4] == "<" {
			in.Upgrades = append(in.Upgrades, fields[0])
		}
		// **CONFIGURE** and **REMOVE** replace the file name of packages that need no
		// file.
		if file := fields[8]; strings.HasPrefix(file, "/") {
			in.Archives = append(in.Archives, diskspace.Archive{Binary: pkgdb.Binary{Package: fields[0], Version: fields[5], Arch: fields[6]}, File: file})
		}
	}
	return in, scanner.Err()
}
