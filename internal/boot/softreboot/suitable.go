package softreboot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
)

// systemdNeeded is the first version of systemd with soft-reboot.
const systemdNeeded = 254

// Facts are the facts that decide about a soft-reboot.
type Facts struct {
	Running Running
	Next    Next
}

// Running describes the running system.
type Running struct {
	Systemd     string // its version, as `systemctl show -P Version` prints it; "" with another init
	Release     string // uname -r
	Version     string // uname -v
	Initrd      string // digest of Release's initrd; "" without one
	CommandLine string // of the kernel
	UsrMounted  bool   // /usr is a separate mount
}

// Next describes the next system.
type Next struct {
	Systemd     string // version of the package; "" if it is not installed
	Release     string // of its default kernel
	Build       string // of that kernel, see [ReadBuild]; "" if unknown
	Initrd      string // digest
	CommandLine string // of the kernel
	Modules     bool   // it has the running kernel's modules
}

// Verdict is the assessment of a soft-reboot. Each text is a reason, without the
// environment's name.
type Verdict struct {
	Impossible []string // reasons why userspace would not start
	Lacking    []string // parts of the next system that would not run
}

// Suitable assesses a soft-reboot. If the verdict is empty, the soft-reboot has the
// same result as a reboot.
func Suitable(f Facts) Verdict {
	var v Verdict
	impossible := func(format string, args ...any) { v.Impossible = append(v.Impossible, fmt.Sprintf(format, args...)) }
	lacking := func(format string, args ...any) { v.Lacking = append(v.Lacking, fmt.Sprintf(format, args...)) }

	switch {
	case f.Running.Systemd == "":
		impossible("init is not systemd")
	case major(f.Running.Systemd) < systemdNeeded:
		impossible("systemd %s is older than %d", f.Running.Systemd, systemdNeeded)
	case f.Next.Systemd == "":
		impossible("it has no systemd")
	case major(f.Next.Systemd) < systemdNeeded:
		impossible("its systemd %s is older than %d", f.Next.Systemd, systemdNeeded)
	}
	if f.Running.UsrMounted {
		impossible("/usr is a separate file system")
	}
	if !f.Next.Modules {
		impossible("it has no modules for the running kernel %s", f.Running.Release)
	}

	switch {
	case f.Next.Release != f.Running.Release:
		lacking("the kernel differs (%s → %s)", f.Running.Release, f.Next.Release)
	case f.Next.Build == "":
		lacking("it is unknown whether its kernel %s is the same build as the running one", f.Next.Release)
	case !sameBuild(f.Next.Build, f.Running):
		lacking("the kernel %s is a different build (%s → %s)", f.Running.Release, f.Running.Version, versionOf(f.Next.Build))
	case f.Next.Initrd != f.Running.Initrd:
		lacking("the initrd differs")
	}
	if added, gone := compareParameters(f.Running.CommandLine, f.Next.CommandLine); len(added)+len(gone) > 0 {
		lacking("the kernel's parameters differ (%s)", strings.Join(append(signed("+", added), signed("-", gone)...), " "))
	}
	return v
}

// major returns the first number of a systemd version, such as "257.9-1", or 0.
func major(version string) int {
	end := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(version)
	}
	n, err := strconv.Atoi(version[:end])
	if err != nil {
		return 0
	}
	return n
}

// sameBuild reports whether an image is the running kernel.
func sameBuild(build string, running Running) bool {
	return strings.HasPrefix(build, running.Release+" ") && versionOf(build) == running.Version
}

// versionOf returns the part of a build that uname -v prints.
func versionOf(build string) string {
	if i := strings.Index(build, ") #"); i >= 0 {
		return build[i+2:]
	}
	return build
}

// compareParameters returns the kernel parameters that only one command line has,
// without those for the root, the booted files and a trial.
func compareParameters(from, to string) (added, gone []string) {
	gone = relevant(from)
	for _, parameter := range relevant(to) {
		if i := slices.Index(gone, parameter); i >= 0 {
			gone = slices.Delete(gone, i, i+1)
		} else {
			added = append(added, parameter)
		}
	}
	return added, gone
}

func relevant(commandLine string) []string {
	var kept []string
	for _, parameter := range fstab.Params(commandLine) {
		name, value, _ := strings.Cut(parameter, "=")
		switch name {
		case "BOOT_IMAGE", "initrd", "root", "ro", "rw", "apt-be.trial", "apt-be.deadline", "panic":
			continue
		case "rootflags":
			flags := slices.DeleteFunc(strings.Split(value, ","), func(flag string) bool {
				return strings.HasPrefix(flag, "subvol=") || strings.HasPrefix(flag, "subvolid=")
			})
			if len(flags) == 0 {
				continue
			}
			parameter = "rootflags=" + strings.Join(flags, ",")
		}
		kept = append(kept, parameter)
	}
	return kept
}

func signed(sign string, parameters []string) []string {
	marked := make([]string, len(parameters))
	for i, parameter := range parameters {
		marked[i] = sign + parameter
	}
	return marked
}
