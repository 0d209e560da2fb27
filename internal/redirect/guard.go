package redirect

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
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// HookInput is what apt tells a DPkg::Pre-Install-Pkgs hook of version 3
// (apt.conf(5), apt-pkg/deb/dpkgpm.cc).
type HookInput struct {
	Config   aptconf.Config
	Packages []string            // a line for each package that changes, as apt has it
	Upgrades []string            // the names of the packages that get a newer version
	Archives []diskspace.Archive // what will be unpacked, in that order
}

// commandLine is what libapt notes in its history as the command that it runs
// for; python-apt programs set none.
const commandLine = "CommandLine::AsString"

// PackageKit says whether PackageKit's daemon has called the hook.
func (in HookInput) PackageKit() bool {
	return strings.HasPrefix(in.Config.String(commandLine, ""), "packagekit ")
}

// Command is the command that libapt notes in its history, in words; none if
// the program set none.
func (in HookInput) Command() []string {
	return strings.Fields(in.Config.String(commandLine, ""))
}

// Occasion tells in a clause what is about to happen to the running system.
func (in HookInput) Occasion() string {
	if len(in.Upgrades) == 1 {
		return in.Upgrades[0] + " was upgraded in the running system"
	}
	return fmt.Sprintf("%d packages of the running system were upgraded", len(in.Upgrades))
}

// Changed are the names of the packages that are there and change: those that are
// upgraded, and those that are removed.
func (in HookInput) Changed() []string {
	var names []string
	for _, line := range in.Packages {
		if fields := strings.Fields(line); fields[1] != "-" && fields[8] != "**CONFIGURE**" {
			names = append(names, fields[0])
		}
	}
	return names
}

// UpgradesInSteps says whether a process with these arguments, the interpreter
// among them, is unattended-upgrade, which has libapt upgrade a few packages at
// a time.
func UpgradesInSteps(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		f, ok := FrontendOf(strings.TrimSuffix(arg, divertedSuffix))
		return ok && f == UnattendedUpgrade
	})
}

// noDpkg is set when libapt only prints what it would call dpkg for, as
// unattended-upgrade --dry-run has it. Hooks run all the same.
const noDpkg = "Debug::pkgDPkgPM"

// ChangesNothing says that this run of apt will change no package that is
// installed already.
func (in HookInput) ChangesNothing() bool {
	return len(in.Upgrades) == 0 || in.Config.Bool(noDpkg, false)
}

// ReadHookInput reads it: the version, the configuration as NAME=VALUE with
// escapes, an empty line, and a line for each package.
func ReadHookInput(r io.Reader) (HookInput, error) {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, 1<<20)
	if !scanner.Scan() || strings.TrimSpace(scanner.Text()) != "VERSION 3" {
		err := errors.Join(errors.New("it does not begin with VERSION 3"), scanner.Err())
		return HookInput{}, fmt.Errorf("cannot read apt's hook protocol: %w", err)
	}
	var dump strings.Builder
	for scanner.Scan() && scanner.Text() != "" {
		// In the form that Parse takes: an '=' in a name is escaped.
		name := aptconf.Fold(scanner.Text())
		if strings.HasPrefix(name, "apt-be::") || strings.HasPrefix(name, aptconf.Fold(noDpkg)+"=") || strings.HasPrefix(name, aptconf.Fold(commandLine)+"=") {
			dump.WriteString(scanner.Text() + "\n")
		}
	}
	conf, err := aptconf.Parse([]byte(dump.String()))
	if err != nil {
		return HookInput{}, err
	}
	in := HookInput{Config: conf.From(aptconf.Query{Env: os.Environ()})}
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
		// **CONFIGURE** and **REMOVE** stand for what needs no file.
		if file := fields[8]; strings.HasPrefix(file, "/") {
			in.Archives = append(in.Archives, diskspace.Archive{Binary: pkgdb.Binary{Package: fields[0], Version: fields[5], Arch: fields[6]}, File: file})
		}
	}
	return in, scanner.Err()
}
