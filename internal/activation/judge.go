package activation

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// The marks that the initramfs of a trial leaves in trialDir, as NONCE.STAGE.
const (
	markInitramfs = "initramfs" // it found the file system
	markInit      = "init"      // it mounted the root, and started init
)

// Booted is the result of Boot.
type Booted struct {
	Trial  *be.Env  // the running environment, if this boot is its trial
	Failed []be.Env // the environments whose trials the machine left, with Record.Trial.Fault
}

// Boot judges, early in each boot, the trials that were armed before. nonce is the
// nonce of the trial that this boot is, or ""; bootID is the running kernel's.
func (a *Activator) Boot(nonce, bootID string) (Booted, error) {
	var found Booted
	envs, err := a.Registry.List()
	if err != nil {
		return found, err
	}
	state, err := a.Loader.State()
	if err != nil {
		return found, err
	}
	defaultName, err := a.Loader.Default()
	if err != nil {
		return found, err
	}
	if slices.ContainsFunc(envs, func(e be.Env) bool { return e.Running && e.Name == defaultName }) {
		if err := a.settleChoice(envs); err != nil {
			return found, err
		}
	}
	changed := false
	for _, e := range envs {
		t := e.Record.Trial
		waits := t != nil && a.marked(t.Nonce, markWanted)
		if t != nil && !t.Synced.IsZero() && !e.Running {
			// The machine went down to boot e, but booted the running system. So e
			// lacks the changes from now on. On a full disk this write fails; then
			// NeedsSync finds out.
			err := a.Registry.Change(e, func(r *be.Record) {
				r.Trial.Synced = time.Time{}
				if waits {
					r.HoldReason = "it was in sync, but the machine booted the running system"
				}
			})
			if err != nil && !durable.Unwritable(err) {
				return found, err
			}
			if waits && state.Armed == t.Nonce {
				if err := a.Loader.Disarm(); err != nil {
					return found, err
				}
				changed = true
			}
		}
		switch {
		case t == nil:
		case e.Running && nonce != "" && t.Nonce == nonce:
			if e, err = a.begin(e, bootID); err != nil {
				return found, err
			}
			found.Trial = &e
		case e.Record.State == be.FellBack:
			// An earlier boot reported it.
		case e.Name == defaultName && !t.Started.IsZero() && t.Fault == nil:
			// Its blessing was interrupted after the write that decides.
			if err := a.endTrial(e, blessed); err != nil {
				return found, err
			}
			changed = true
		case t.BootID == bootID, t.Started.IsZero() && t.From == bootID:
			// This boot has armed the trial, or is the trial: Boot runs a second time.
		case a.taken(e, state), state.Armed == t.Nonce && a.missing(e) != "":
			if state.Tried != t.Nonce {
				// A loader that cannot write has booted the default.
				state.Missing = a.missing(e)
			}
			e, err := a.fallBack(e, a.faultOf(t, state))
			if err != nil {
				return found, err
			}
			found.Failed = append(found.Failed, e)
			changed = true
		case waits && !e.Running:
			// The next shutdown syncs it and arms it.
		case state.Armed != t.Nonce:
			// An Arm or a Disarm was interrupted, or the disk was full.
			err := a.endTrial(e, func(*be.Record) {})
			if err != nil && !durable.Unwritable(err) {
				return found, err
			}
			changed = true
		}
	}
	if !changed {
		return found, nil
	}
	if len(found.Failed) > 0 && found.Trial == nil {
		if err := a.Loader.Disarm(); err != nil {
			return found, err
		}
	}
	err = a.Refresh()
	if durable.Unwritable(err) && len(found.Failed) == 0 {
		err = nil // not an error: the menu only has an outdated entry
	}
	return found, err
}

// missing returns the missing file of an environment's trial: "kernel", "initrd" or "".
func (a *Activator) missing(e be.Env) string {
	kernel, err := KernelOf(e)
	if err != nil {
		return "kernel"
	}
	for _, file := range []struct{ what, path string }{{"kernel", kernel.Image}, {"initrd", kernel.Initrd}} {
		f, err := a.Files(e.Subvolume.Path + "/" + file.path)
		if errors.Is(err, fs.ErrNotExist) {
			return file.what
		}
		if err != nil {
			continue // the file may exist
		}
		empty := isEmpty(f)
		f.Close()
		if empty {
			return file.what
		}
	}
	return ""
}

// isEmpty reports whether a file is empty, as after a power cut.
func isEmpty(f io.Reader) bool {
	_, err := f.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// begin records that the running environment has booted on trial.
func (a *Activator) begin(e be.Env, bootID string) (be.Env, error) {
	edit := func(r *be.Record) {
		r.State, r.Reason = be.Trying, ""
		if r.Trial.Started.IsZero() {
			r.Trial.Started = time.Now().UTC().Truncate(time.Second)
		}
		r.Trial.BootID = bootID
	}
	if err := a.Registry.Change(e, edit); err != nil {
		return e, err
	}
	edit(&e.Record)
	_ = os.Remove(a.mark(e.Record.Trial.Nonce, markWanted)) // it has started
	return e, nil
}

// taken reports whether a trial that does not run now has been tried.
func (a *Activator) taken(e be.Env, state boot.State) bool {
	t := e.Record.Trial
	if !t.Started.IsZero() || t.Fault != nil || state.Tried == t.Nonce || a.marked(t.Nonce, markInitramfs) {
		return true
	}
	// The loader does not know these trials. The machine has booted since, so they were
	// tried, or were about to start. An upgraded environment is excluded, because the
	// machine goes to it only after a sync.
	return t.Method != be.Reboot && !(e.NeverBooted() && t.Synced.IsZero())
}

func (a *Activator) marked(nonce, stage string) bool {
	_, err := os.Lstat(a.mark(nonce, stage))
	return err == nil
}

// faultOf returns the fault that ended a trial, from its progress.
func (a *Activator) faultOf(t *be.Trial, state boot.State) be.Fault {
	switch {
	case t.Fault != nil:
		return *t.Fault
	case state.Missing == "kernel":
		return be.Fault{Kind: be.FaultKernelMissing, Text: "the boot loader did not find its kernel"}
	case state.Missing == "initrd":
		return be.Fault{Kind: be.FaultInitrdMissing, Text: "the boot loader did not find its initrd"}
	case !t.Started.IsZero():
		return be.Fault{Kind: be.FaultDeadline, Text: "the machine was reset before its health checks had passed"}
	case a.marked(t.Nonce, markInit):
		return be.Fault{Kind: be.FaultInit, Text: "its init started, but did not bring the system up"}
	case a.marked(t.Nonce, markInitramfs):
		return be.Fault{Kind: be.FaultInitramfs, Text: "its initramfs started, but did not reach init"}
	}
	switch t.Method {
	case be.SoftReboot:
		return be.Fault{Kind: be.FaultInit, Text: "the soft-reboot did not reach its services"}
	case be.Kexec:
		return be.Fault{Kind: be.FaultKernel, Text: "its kernel did not start, or did not reach the initramfs"}
	}
	return be.Fault{Kind: be.FaultKernel, Text: "its kernel did not reach the initramfs"}
}

// bootOf returns the boot ID that the initramfs of a trial recorded, or "".
func (a *Activator) bootOf(nonce string) string {
	for _, stage := range []string{markInit, markInitramfs} {
		if text, err := regular.ReadFile(a.mark(nonce, stage), 1<<16); err == nil {
			if ids := strings.Fields(string(text)); len(ids) > 0 {
				return ids[len(ids)-1] // the last one
			}
		}
	}
	return ""
}

func (a *Activator) fallBack(e be.Env, fault be.Fault) (be.Env, error) {
	bootID := e.Record.Trial.BootID
	if bootID == "" {
		bootID = a.bootOf(e.Record.Trial.Nonce)
	}
	edit := func(r *be.Record) {
		r.State, r.Reason = be.FellBack, fault.Text
		r.Fallbacks++
		r.Acknowledged, r.HoldReason = false, "" // it was booted
		r.Trial.Fault, r.Trial.BootID = &fault, bootID
	}
	trial := *e.Record.Trial
	e.Record.Trial = &trial
	if err := a.Registry.Change(e, edit); err != nil {
		return e, err
	}
	edit(&e.Record)
	a.removeMarks(trial.Nonce)
	return e, nil
}

// ErrNoTrial reports that the running environment is not on trial.
var ErrNoTrial = errors.New("it is not on trial")

// ErrUnhealthy reports a fault of the running environment.
var ErrUnhealthy = errors.New("it is unhealthy")

// Bless ends the trial of the running environment successfully: the environment becomes
// the default, unless it was to be tried only once. An environment that the machine is
// leaving is not blessed: ErrUnhealthy.
func (a *Activator) Bless() (be.Env, error) {
	e, err := a.OnTrial()
	if err != nil {
		return e, err
	}
	if f := e.Record.Trial.Fault; f != nil && e.Record.Fallbacks == 0 {
		return e, fmt.Errorf("%w: %s", ErrUnhealthy, f.Text)
	}
	once := e.Record.Trial.Once
	if once {
		err = a.Loader.Disarm()
	} else {
		err = a.SetDefault(e)
	}
	if err != nil {
		return e, err
	}
	err = a.endTrial(e, blessed)
	if err == nil && once {
		err = a.Refresh()
	}
	return e, err
}

func blessed(r *be.Record) {
	r.State, r.Reason, r.BlessedAt = be.Blessed, "", time.Now().UTC().Truncate(time.Second)
}

// Fail records a fault of the running environment, which is on trial. Only the first
// fault is recorded. back reports whether the machine must leave the environment: it
// does so once, and not again if a user boots the environment a second time.
func (a *Activator) Fail(fault be.Fault) (back bool, err error) {
	e, err := a.OnTrial()
	if err != nil {
		return false, err
	}
	err = a.Registry.Change(e, func(r *be.Record) {
		if r.Trial.Fault == nil {
			r.Trial.Fault = &fault
		}
		r.Reason = r.Trial.Fault.Text
	})
	return e.Record.Fallbacks == 0, err
}

// OnTrial returns the running environment if it is on trial. Otherwise the error is
// ErrNoTrial.
func (a *Activator) OnTrial() (be.Env, error) {
	e, err := a.Registry.Running()
	if err != nil {
		return e, err
	}
	if e.Record.Trial == nil || e.Record.Trial.Started.IsZero() {
		return e, ErrNoTrial
	}
	return e, nil
}
