package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/frontend"
)

// automaticReboot is the setting that makes unattended-upgrade reboot the machine after
// a run, if a reboot is required. Two more settings control when.
const automaticReboot = "Unattended-Upgrade::Automatic-Reboot"

// Reboot is the reboot policy in unattended-upgrade's configuration.
type Reboot struct {
	Automatic bool
	WithUsers bool   // also while users are logged in
	Time      string // in the format of shutdown(8)
}

// RebootPolicy reads the policy, with unattended-upgrade's defaults.
func RebootPolicy(f frontend.Frontend, conf aptconf.Config) Reboot {
	if f != frontend.UnattendedUpgrade {
		return Reboot{}
	}
	return Reboot{
		Automatic: conf.Bool(automaticReboot, false),
		WithUsers: conf.Bool(automaticReboot+"-WithUsers", true),
		Time:      conf.String(automaticReboot+"-Time", "now"),
	}
}

// due returns whether unattended-upgrade would reboot after a run, and a message for
// the user. armed is the environment on trial at the next boot, or "". A reboot into
// the running system would be useless, so it is suppressed.
func (r Reboot) due(armed string, users []string) (reboot bool, tell string) {
	switch {
	case !r.Automatic:
		return false, ""
	case armed == "":
		return false, fmt.Sprintf("A reboot is required, but %s is ignored, because the next boot would start the running system again.", automaticReboot)
	case !r.WithUsers && len(users) > 0:
		users = slices.Compact(slices.Sorted(slices.Values(users)))
		return false, fmt.Sprintf("A reboot is required, but users are logged in (%s). %s allows a reboot all the same.", strings.Join(users, ", "), automaticReboot+"-WithUsers")
	}
	return true, fmt.Sprintf("The machine reboots into %s (%s, shutdown -r %s).", armed, automaticReboot, r.Time)
}
