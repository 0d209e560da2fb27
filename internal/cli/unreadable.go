package cli

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/be"
)

// warnUnreadable warns about apt-be's own files that cannot be read. It does not stop
// operations that change no packages and arm no trial.
func (app *App) warnUnreadable(reg *be.Registry) {
	for _, e := range app.unreadable(reg) {
		whose := ""
		if e.Of != "" {
			whose = fmt.Sprintf(", the record of %s", e.Of)
		}
		app.notice().Warn("cannot %s %s%s: %v. Until that is repaired, no upgrade runs and no trial is armed. Remedy: %s", e.Verb(), e.Path, whose, e.Err, e.Remedy())
	}
}

// unreadable lists apt-be's own files that cannot be read.
func (app *App) unreadable(reg *be.Registry) []*be.UnreadableError {
	bad, err := reg.Unreadable()
	if err != nil {
		app.Log.Warn(err)
	}
	ofSetup, err := app.installer(reg).Unreadable()
	if err != nil {
		app.Log.Warn(err)
	}
	return append(bad, ofSetup...)
}

// checkReadable fails if a file of the registry cannot be read. Operations that change
// packages or arm a trial call it.
func (app *App) checkReadable() error {
	reg, done, err := app.openRegistry()
	if err != nil {
		return err
	}
	defer done()
	return reg.CheckReadable()
}
