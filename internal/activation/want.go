package activation

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/durable"
)

// markWanted is a file in trialDir. It exists from the arming of an upgraded
// environment's trial until that trial starts or is disarmed. It is empty: its creation
// needs no data space, and its deletion no space at all.
const markWanted = "wanted"

// want records that the trial must be armed at the next shutdown.
func (a *Activator) want(nonce string) error {
	f, err := os.OpenFile(a.mark(nonce, markWanted), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return durable.SyncDir(a.Registry.Store().Path(trialDir))
}

// unwant reverses want.
func (a *Activator) unwant() error {
	marks, err := a.wanted()
	for _, mark := range marks {
		err = errors.Join(err, durable.Remove(mark))
	}
	return err
}

// wanted returns the marks of the wanted trials: one, unless a command was interrupted.
func (a *Activator) wanted() ([]string, error) {
	return filepath.Glob(a.Registry.Store().Path(trialDir) + "/*." + markWanted)
}

// NextBoot returns the environment that boots after an orderly shutdown: the default, or
// the trial with a nonce, which the loader has or which is wanted.
func (a *Activator) NextBoot() (defaultName, nonce string, err error) {
	if defaultName, err = a.Loader.Default(); err != nil {
		return "", "", err
	}
	state, err := a.Loader.State()
	if err != nil || state.Armed != "" {
		return defaultName, state.Armed, err
	}
	marks, err := a.wanted()
	if err != nil || len(marks) == 0 {
		return defaultName, "", err
	}
	return defaultName, strings.TrimSuffix(filepath.Base(marks[0]), "."+markWanted), nil
}

// BeginSync starts the sync of an environment on trial, at shutdown. From then until
// Confirm, the loader has no trial.
func (a *Activator) BeginSync(e be.Env) error {
	if t := e.Record.Trial; t == nil || t.Method != be.Reboot {
		return nil
	}
	state, err := a.Loader.State()
	if err != nil || state.Armed == "" {
		return err
	}
	// An older apt-be, without wanted trials, has armed it. The order matters: after an
	// interruption here it is armed, and its first boot syncs.
	err = a.want(state.Armed)
	return errors.Join(a.Loader.Disarm(), err)
}

// NeedsSync reports whether an environment on trial must be synced. Its record is not
// sufficient: after the sync the machine may have booted another environment, and a
// full disk may have prevented the record.
func (a *Activator) NeedsSync(e be.Env) (bool, error) {
	t := e.Record.Trial
	if t == nil || !e.Pending() {
		return false, nil
	}
	if t.Synced.IsZero() || t.Method != be.Reboot {
		return t.Synced.IsZero(), nil
	}
	state, err := a.Loader.State()
	return state.Armed != t.Nonce, err
}

// Confirm makes the loader take the trial of an environment that is in sync. It does
// nothing if no trial is wanted.
func (a *Activator) Confirm(e be.Env) error {
	t := e.Record.Trial
	if t == nil || settled(e) || t.Method != be.Reboot || !a.marked(t.Nonce, markWanted) {
		return nil
	}
	err := a.tellLoader(t.Nonce)
	if err != nil {
		// Its entry may be missing in the menu.
		if err := a.Refresh(); err != nil {
			return err
		}
		err = a.tellLoader(t.Nonce)
	}
	return err
}

// Postpone leaves the trial of an environment to a later shutdown, because this one
// could not sync it. It records the reason, if there is space.
func (a *Activator) Postpone(e be.Env, why string) error {
	var errs []error
	if state, err := a.Loader.State(); err != nil || state.Armed != "" {
		errs = append(errs, a.Loader.Disarm())
	}
	err := a.Registry.Change(e, func(r *be.Record) { r.HoldReason = why })
	if !durable.Unwritable(err) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// PassedOver reports whether the machine has booted without the wanted trial of an
// environment since that trial was armed. bootID is the running kernel's.
func PassedOver(e be.Env, bootID string) bool {
	t := e.Record.Trial
	return e.Armed && !settled(e) && e.Pending() && t.Synced.IsZero() && t.From != "" && t.From != bootID
}
