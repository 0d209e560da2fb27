package cli

import (
	"github.com/apt-be/apt-be/internal/rebootrequired"
)

// rebootRequired is the running system's reboot-required flag.
var rebootRequired = rebootrequired.Flag{Dir: "/run"}

// settleFlag clears apt-be's reboot-required flag if the next boot takes no upgraded
// environment: it was deactivated, is stale, or runs already. The caller holds the
// lock.
func (app *App) settleFlag() {
	if !app.live() {
		return
	}
	err := func() error {
		if app.act == nil {
			return rebootRequired.Clear()
		}
		next, waits, err := app.act.Next()
		switch {
		case err != nil:
			return err
		case !waits || !next.Pending():
			return rebootRequired.Clear()
		case rebootRequired.SetByUs():
			return nil
		}
		return rebootRequired.Set(nil)
	}()
	if err != nil {
		app.Log.Warn(err)
	}
}
