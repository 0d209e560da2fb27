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

// ArmOptions say how to try an environment.
type ArmOptions struct {
	Method   be.Method
	Once     bool          // do not make it the default even if it proves healthy
	Deadline time.Duration // how long it may take to become healthy
	Units    be.Units      // what runs now
	BootID   string        // of the running kernel
	// NoFallback accepts what is otherwise an ErrNoFallback.
	NoFallback bool
}

// Arm prepares a trial of an environment, in the place of one that was armed
// before. With the method Reboot the next boot takes it. With the others it is
// only noted: the loader goes on to the default, to which any reset leads.
// What fails is taken back.
//
// An upgraded environment lacks what happens in the running system from now on,
// so its trial is only wanted: the loader is not told before Confirm. Until then
// any reset leads to the default, and nothing has to be written for that.
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
	// That of an earlier failure would be taken for that of the next.
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
	// The record comes first: a trial that the loader knows and nobody else
	// would never be judged.
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

// tellLoader has the next boot take a trial.
func (a *Activator) tellLoader(nonce string) error {
	if err := a.Loader.Arm(nonce); err != nil {
		return err
	}
	// Not every write that succeeds is stored: the loader is asked.
	state, err := a.Loader.State()
	if err == nil && state.Armed != nonce {
		err = fmt.Errorf("%s does not have it", a.Loader)
	}
	return err
}

// secureDefault makes the running environment the default where that is the one
// to be tried: a trial leads back to another one.
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
		return fmt.Errorf("cannot make the running one what a trial comes back to: %w", err)
	}
	return nil
}

// Check says why Arm would refuse, and changes nothing.
func (a *Activator) Check(e be.Env, o ArmOptions) error {
	if err := be.CheckName(e.Name); err != nil {
		return fmt.Errorf("%w: %w; apt-be rename gives it another", be.ErrProtected, err)
	}
	kernel, err := KernelOf(e)
	if err != nil || o.Method != be.Reboot || o.NoFallback {
		return err
	}
	// Where the loader does not end a trial, the initrd has to.
	if level, _ := a.Loader.Level(); level != boot.LevelInitramfs {
		return nil
	}
	ends, err := a.EndsTrial(e, kernel.Initrd)
	if err == nil && !ends {
		err = ErrNoFallback
	}
	return err
}

// Disarm takes back what Arm did, unless the trial has begun.
func (a *Activator) Disarm() error {
	// The loader and what is wanted come first: with these the next boot takes
	// the default, and neither needs room on the disk.
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
		return nil // a trial that is neither armed nor wanted is forgotten by the next Boot
	}
	return err
}

// Next returns the environment on trial that the machine goes to next, in
// whichever way, and whether there is one.
func (a *Activator) Next() (be.Env, bool, error) {
	envs, err := a.Registry.List()
	if err != nil {
		return be.Env{}, false, err
	}
	for _, e := range envs {
		if e.DefaultErr != nil {
			return be.Env{}, false, fmt.Errorf("cannot find out what the next boot takes: %w", e.DefaultErr)
		}
		// The loader knows nothing of a trial that it does not begin.
		if e.Armed || !settled(e) && e.Record.Trial.Method != be.Reboot {
			return e, !e.Running, nil
		}
	}
	return be.Env{}, false, nil
}

// CancelTrial takes the trial of an environment back as it was about to begin, or had
// just begun, and notes why.
func (a *Activator) CancelTrial(e be.Env, why string) error {
	err := a.Disarm()
	return errors.Join(err, a.Registry.Change(e, func(r *be.Record) { r.HoldReason = why }))
}

func newNonce() (string, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return "", fmt.Errorf("cannot make a nonce: %w", err)
	}
	return hex.EncodeToString(random[:]), nil
}
