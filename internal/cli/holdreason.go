package cli

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/diskspace"
)

// held returns why an environment was not booted although its trial was wanted, and
// which action tries again. It returns "" if no trial was wanted, or nothing failed. If
// the disk was full or the power failed, the reason is not in the record; then it
// follows from the trial, which is still wanted.
func (app *App) held(reg *be.Registry, e be.Env) (why, again string) {
	passed := false
	if e.Armed && !e.Running {
		_, id, err := app.Booted()
		passed = err == nil && activation.PassedOver(e, id)
	}
	switch {
	case e.Running || e.Record.HoldReason == "" && !passed:
		return "", ""
	case !passed && !e.Armed:
		return e.Record.HoldReason, "apt-be activate " + e.Name
	}
	again = "the next reboot"
	if why = e.Record.HoldReason; why == "" {
		why = "the machine went down before the changes of the running system were carried"
	}
	free, err := reg.Store().Free()
	if err == nil {
		if err := (diskspace.Estimate{}).Check(free); err != nil {
			why = fmt.Sprintf("%s (%v)", why, err)
			again = "the next reboot after freeing space (apt-be list -s, apt-be prune, apt-get clean)"
		}
	}
	return why, again
}
