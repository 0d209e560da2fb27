package softreboot

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
)

// systemdNeeded is the first systemd that knows the soft-reboot.
const systemdNeeded = 254

// Facts are what decides whether a soft-reboot will do.
type Facts struct {
	Running Running
	Next    Next
}

// Running is the system that runs.
type Running struct {
	Systemd     string // its version, as `systemctl show -P Version` says it; "" if init is another
	Release     string // uname -r
	Version     string // uname -v
	Initrd      string // digest of the one that belongs to Release; "" without one
	CommandLine string // of the kernel
	UsrMounted  bool   // /usr is a mount of its own
}

// Next is the system that is to run.
type Next struct {
	Systemd     string // version of the package; "" if there is none
	Release     string // of the kernel that it boots
	Build       string // of that kernel, see [ReadBuild]; "" if that can't be told
	Initrd      string // digest
	CommandLine string // of the kernel
	Modules     bool   // it has those of the running kernel
}

// Verdict is what a soft-reboot is good for. Each text is a reason, without
// the name of the environment.
type Verdict struct {
	Impossible []string // why userspace would not come up
	Lacking    []string // what of the next system would not run
}

// Suitable judges a soft-reboot. With a verdict that is empty, it ends in the
// system that a reboot would end in.
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
		impossible("there is no systemd in it")
	case major(f.Next.Systemd) < systemdNeeded:
		impossible("its systemd %s is older than %d", f.Next.Systemd, systemdNeeded)
	}
	if f.Running.UsrMounted {
		impossible("/usr is a file system of its own")
	}
	if !f.Next.Modules {
		impossible("it has no modules for the running kernel %s", f.Running.Release)
	}

	switch {
	case f.Next.Release != f.Running.Release:
		lacking("the kernel differs (%s → %s)", f.Running.Release, f.Next.Release)
	case f.Next.Build == "":
		lacking("it can't be told whether its kernel %s is the same build as the running one", f.Next.Release)
	case !sameBuild(f.Next.Build, f.Running):
		lacking("the kernel %s is another build (%s → %s)", f.Running.Release, f.Running.Version, versionOf(f.Next.Build))
	case f.Next.Initrd != f.Running.Initrd:
		lacking("the initrd differs")
	}
	if added, gone := compareParameters(f.Running.CommandLine, f.Next.CommandLine); len(added)+len(gone) > 0 {
		lacking("the kernel's parameters differ (%s)", strings.Join(append(signed("+", added), signed("-", gone)...), " "))
	}
	return v
}

// major is the first number of a version of systemd, such as "257.9-1", or 0.
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

// sameBuild says whether an image is the kernel that runs.
func sameBuild(build string, running Running) bool {
	return strings.HasPrefix(build, running.Release+" ") && versionOf(build) == running.Version
}

// versionOf is the part of a build that uname -v prints.
func versionOf(build string) string {
	if i := strings.Index(build, ") #"); i >= 0 {
		return build[i+2:]
	}
	return build
}

// compareParameters finds the kernel parameters that only one command line
// has, but for those that name the root and the files that were booted, and
// those of a trial.
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
