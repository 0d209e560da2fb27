package cli

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/be"
)

// warnUnreadable tells of the files of apt-be's own that can't be read. That is no
// reason to stop for what changes no packages and arms no boot.
func (app *App) warnUnreadable(reg *be.Registry) {
	for _, e := range app.unreadable(reg) {
		whose := ""
		if e.Of != "" {
			whose = fmt.Sprintf(", the record of %s", e.Of)
		}
		app.notice().Warn("cannot %s %s%s: %v. Until that is repaired, no upgrade runs and no trial is armed. Remedy: %s", e.Verb(), e.Path, whose, e.Err, e.Remedy())
	}
}

// unreadable lists the files of apt-be's own that can't be read.
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

// checkReadable returns an error if something can't be read in the registry: for
// what changes packages or arms a boot.
func (app *App) checkReadable() error {
	reg, done, err := app.openRegistry()
	if err != nil {
		return err
	}
	defer done()
	return reg.CheckReadable()
}
