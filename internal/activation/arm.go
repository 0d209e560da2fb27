package activation

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
)

// ArmOptions configure a trial.
type ArmOptions struct {
	Method   be.Method
	Once     bool          // do not make a healthy environment the default
	Deadline time.Duration // the time in which it must become healthy
	Units    be.Units      // the units that run now
	BootID   string        // of the running kernel
	// NoFallback accepts an environment that Arm would refuse with ErrNoFallback.
	NoFallback bool
}

// Arm prepares a trial of an environment. It replaces an armed trial. With the method
// Reboot the next boot takes the trial. With other methods only the record has it: the
// loader keeps booting the default, also after a reset. After an error, everything is
// as before.
//
// An upgraded environment lacks the later changes of the running system, so its trial
// is only wanted: the loader learns of it from Confirm. Until then a reset boots the
// default, without any write.
func (a *Activator) Arm(e be.Env, o ArmOptions) (t *be.Trial, err error) {
	if err := a.Check(e, o); err != nil {
		return nil, err
	}
	if err := a.Disarm(); err != nil {
		return nil, err
	}
	if err := a.secureDefault(e); err != nil {
		return nil, err
	}
	// The mark of an earlier failure would count for the next one.
	if err := os.RemoveAll(a.Registry.Store().Path(be.FailedDir(e.Subvolume.UUID))); err != nil {
		return nil, fmt.Errorf("cannot prepare a trial: %w", err)
	}
	nonce, err := newNonce()
	if err != nil {
		return nil, err
	}
	t = &be.Trial{
		Nonce: nonce, Method: o.Method, Once: o.Once, Deadline: o.Deadline,
		Armed: time.Now().UTC().Truncate(time.Second), From: o.BootID, Units: o.Units,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, a.Disarm())
		}
	}()
	if err := os.MkdirAll(a.Registry.Store().Path(trialDir), 0o700); err != nil {
		return nil, fmt.Errorf("cannot prepare a trial: %w", err)
	}
	// The record is written first: a trial that only the loader knows would never be
	// judged.
	err = a.Registry.Change(e, func(r *be.Record) {
		r.Trial, r.Title, r.Kernels, r.HoldReason = t, e.Record.Title, e.Record.Kernels, ""
		if r.State == be.FellBack {
			r.State, r.Reason = be.Ready, ""
		}
	})
	if err != nil || o.Method != be.Reboot {
		return t, err
	}
	if err := a.Refresh(); err != nil {
		return nil, err
	}
	if e, err = a.Registry.Get(e.Name); err != nil {
		return nil, err
	}
	if e.NeverBooted() {
		err = a.want(nonce)
	} else {
		err = a.tellLoader(nonce)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot arm a trial of %s: %w", e.Name, err)
	}
	return t, nil
}

// tellLoader makes the next boot take a trial.
func (a *Activator) tellLoader(nonce string) error {
	if err := a.Loader.Arm(nonce); err != nil {
		return err
	}
	// A successful write is not always stored, so ask the loader.
	state, err := a.Loader.State()
	if err == nil && state.Armed != nonce {
		err = fmt.Errorf("its boot menu does not contain %s", a.Loader)
	}
	return err
}

// secureDefault makes the running environment the default if the one on trial is: a
// trial must fall back to another environment.
func (a *Activator) secureDefault(e be.Env) error {
	name, err := a.Loader.Default()
	if err != nil || name != e.Name {
		return err
	}
	running, err := a.Registry.Running()
	if err == nil {
		err = a.SetDefault(running)
	}
	if err != nil {
		return fmt.Errorf("cannot make the running environment the default, to which a trial falls back: %w", err)
	}
	return nil
}

// Check returns the error that Arm would return, and changes nothing.
func (a *Activator) Check(e be.Env, o ArmOptions) error {
	if err := be.CheckName(e.Name); err != nil {
		return fmt.Errorf("%w: %w; to rename the environment, use apt-be rename", be.ErrProtected, err)
	}
	kernel, err := KernelOf(e)
	if err != nil || o.Method != be.Reboot || o.NoFallback {
		return err
	}
	// If the loader does not end a trial, the initrd must.
	if level, _ := a.Loader.Level(); level != boot.LevelInitramfs {
		return nil
	}
	ends, err := a.EndsTrial(e, kernel.Initrd)
	if err == nil && !ends {
		err = ErrNoFallback
	}
	return err
}

// Disarm reverses Arm, unless the trial has started.
func (a *Activator) Disarm() error {
	// The loader and the mark are changed first: they decide the next boot, and neither
	// change needs disk space.
	if err := errors.Join(a.Loader.Disarm(), a.unwant()); err != nil {
		return err
	}
	envs, err := a.Registry.List()
	if err != nil {
		return err
	}
	had := false
	for _, e := range envs {
		had = had || e.Record.Trial != nil && !settled(e)
	}
	if !had {
		return nil
	}
	err = a.forget()
	if err == nil {
		err = a.Refresh()
	}
	if durable.Unwritable(err) {
		return nil // the next Boot forgets a trial that is neither armed nor wanted
	}
	return err
}

// Next returns the environment on trial to which the machine goes next, by any method,
// and whether there is one.
func (a *Activator) Next() (be.Env, bool, error) {
	envs, err := a.Registry.List()
	if err != nil {
		return be.Env{}, false, err
	}
	for _, e := range envs {
		if e.DefaultErr != nil {
			return be.Env{}, false, fmt.Errorf("cannot determine the default: %w", e.DefaultErr)
		}
		if Waits(e) {
			return e, !e.Running, nil
		}
	}
	return be.Env{}, false, nil
}

// CancelTrial removes the trial of an environment that was about to start or had just
// started, and records the reason.
func (a *Activator) CancelTrial(e be.Env, why string) error {
	err := a.Disarm()
	return errors.Join(err, a.Registry.Change(e, func(r *be.Record) { r.HoldReason = why }))
}

func newNonce() (string, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("cannot create a nonce: %w", err)
	}
	return hex.EncodeToString(random[:]), nil
}
