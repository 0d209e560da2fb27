package activation

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/durable"
)

// markWanted is there, beside what the initramfs of a trial leaves, from when the
// trial of an upgraded environment was armed until that begins or is taken back.
// It has no content: to make it takes no room for data, and to remove it none at
// all.
const markWanted = "wanted"

// want notes that a trial is to be armed when the machine goes down.
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

// unwant takes back all that want has noted.
func (a *Activator) unwant() error {
	marks, err := a.wanted()
	for _, mark := range marks {
		err = errors.Join(err, durable.Remove(mark))
	}
	return err
}

// wanted are the marks of the trials that are wanted: one, unless a run was cut
// off.
func (a *Activator) wanted() ([]string, error) {
	return filepath.Glob(a.Registry.Store().Path(trialDir) + "/*." + markWanted)
}

// NextBoot says what the next boot takes, if the machine is shut down for it: the
// default, or else the trial with a nonce, which the loader has or which is
// wanted.
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

// BeginSync is called before an environment on trial is brought up to date, as the
// machine goes down: until Confirm, the loader has no trial.
func (a *Activator) BeginSync(e be.Env) error {
	if t := e.Record.Trial; t == nil || t.Method != be.Reboot {
		return nil
	}
	state, err := a.Loader.State()
	if err != nil || state.Armed == "" {
		return err
	}
	// An apt-be from before trials were wanted has armed it.
	// In this order: cut off in between, it is armed, and its first boot catches up.
	err = a.want(state.Armed)
	return errors.Join(a.Loader.Disarm(), err)
}

// NeedsSync says whether an environment on trial is still to be brought up to date.
// What its record says is not enough: the machine may have come up elsewhere since
// it was, with no room on the disk to note that.
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

// Confirm has the loader take the trial of an environment that is up to date.
// Nothing happens if none is wanted.
func (a *Activator) Confirm(e be.Env) error {
	t := e.Record.Trial
	if t == nil || settled(e) || t.Method != be.Reboot || !a.marked(t.Nonce, markWanted) {
		return nil
	}
	err := a.tellLoader(t.Nonce)
	if err != nil {
		// Its entry may be gone from the menu.
		if err := a.Refresh(); err != nil {
			return err
		}
		err = a.tellLoader(t.Nonce)
	}
	return err
}

// Postpone leaves the trial of an environment to a later shutdown, since this one
// could not bring it up to date, and notes why, if there is room for that.
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

// PassedOver says whether the machine has booted since a trial of an environment was
// armed, and came up without it although it is still wanted. bootID is the running
// kernel's.
func PassedOver(e be.Env, bootID string) bool {
	t := e.Record.Trial
	return e.Armed && !settled(e) && e.Pending() && t.Synced.IsZero() && t.From != "" && t.From != bootID
}
