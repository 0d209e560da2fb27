package redirect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
)

// automaticReboot is the option by which unattended-upgrade reboots the
// machine after a run, if a reboot is due; two more say how.
const automaticReboot = "Unattended-Upgrade::Automatic-Reboot"

// Reboot is what unattended-upgrade's configuration says about rebooting.
type Reboot struct {
	Automatic bool
	WithUsers bool   // even if somebody is logged in
	Time      string // as shutdown(8) takes it
}

// rebootPolicy reads it, with unattended-upgrade's defaults.
func rebootPolicy(f Frontend, conf aptconf.Config) Reboot {
	if f != UnattendedUpgrade {
		return Reboot{}
	}
	return Reboot{
		Automatic: conf.Bool(automaticReboot, false),
		WithUsers: conf.Bool(automaticReboot+"-WithUsers", true),
		Time:      conf.String(automaticReboot+"-Time", "now"),
	}
}

// due says what unattended-upgrade would do after a run, where the next boot
// takes the environment armed, "" for none, and what to tell of that. Where it
// would boot the running system again that helps nobody.
func (r Reboot) due(armed string, users []string) (reboot bool, tell string) {
	switch {
	case !r.Automatic:
		return false, ""
	case armed == "":
		return false, fmt.Sprintf("A reboot is due, but %s is not heeded: the next boot takes what runs now.", automaticReboot)
	case !r.WithUsers && len(users) > 0:
		users = slices.Compact(slices.Sorted(slices.Values(users)))
		return false, fmt.Sprintf("A reboot is due, but not while somebody is logged in (%s): %s.", strings.Join(users, ", "), automaticReboot+"-WithUsers")
	}
	return true, fmt.Sprintf("The machine reboots into %s (%s, shutdown -r %s).", armed, automaticReboot, r.Time)
}
