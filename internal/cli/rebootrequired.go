package cli

import (
	"github.com/apt-be/apt-be/internal/rebootrequired"
)

// rebootFlag is the running system's.
var rebootFlag = rebootrequired.Flag{Dir: "/run"}

// settleFlag has what apt-be told of a reboot that is due be there as long as a
// reboot leads to an upgraded environment: not when that was deactivated, or
// is stale, or runs by now. The caller holds the lock.
func (app *App) settleFlag() {
	if !app.live() {
		return
	}
	err := func() error {
		if app.act == nil {
			return rebootFlag.Clear()
		}
		next, waits, err := app.act.Next()
		switch {
		case err != nil:
			return err
		case !waits || !next.Pending():
			return rebootFlag.Clear()
		case rebootFlag.SetByUs():
			return nil
		}
		return rebootFlag.Set(nil)
	}()
	if err != nil {
		app.Log.Warn(err)
	}
}
