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

// What the initramfs of a trial leaves in trialDir, as NONCE.STAGE.
const (
	markInitramfs = "initramfs" // it found the file system
	markInit      = "init"      // it mounted the root, and handed over to init
)

// Booted is what Boot found.
type Booted struct {
	Trial  *be.Env  // the running one, if this boot is its trial
	Failed []be.Env // those that were tried, and that the machine left, with Record.Trial.Fault
}

// Boot settles, early in each boot, what the trials that were armed before it
// came to. nonce is that of the trial that this boot is, or ""; bootID is the
// running kernel's.
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
			// The machine went down to boot e, and came up here after all: life
			// goes on, and e lacks what happens from now on. On a full disk this
			// is not noted, and Lacks finds it out.
			err := a.Registry.Change(e, func(r *be.Record) {
				r.Trial.Synced = time.Time{}
				if waits {
					r.HoldReason = "it was up to date, and the machine came up here all the same"
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
			// That was told in an earlier boot.
		case e.Name == defaultName && !t.Started.IsZero() && t.Fault == nil:
			// Its blessing was cut off, after the write that counts.
			if err := a.endTrial(e, blessed); err != nil {
				return found, err
			}
			changed = true
		case t.BootID == bootID, t.Started.IsZero() && t.From == bootID:
			// This very boot has armed it, or is it: Boot runs a second time.
		case a.taken(e, state), state.Armed == t.Nonce && a.missing(e) != "":
			if state.Tried != t.Nonce {
				// A loader that can't write has gone on to the default.
				state.Missing = a.missing(e)
			}
			e, err := a.fallBack(e, a.faultOf(t, state))
			if err != nil {
				return found, err
			}
			found.Failed = append(found.Failed, e)
			changed = true
		case waits && !e.Running:
			// The next shutdown brings it up to date, and arms it.
		case state.Armed != t.Nonce:
			// Left by an Arm or a Disarm that was cut off, or found no room.
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
		err = nil // what boots is what boots: the menu has no more than a name too many
	}
	return found, err
}

// missing says which of the files that the trial of an environment boots is
// not there: "kernel", "initrd" or "".
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
			continue // it may be there
		}
		empty := isEmpty(f)
		f.Close()
		if empty {
			return file.what
		}
	}
	return ""
}

// isEmpty says whether a file has no content, as after a power cut.
func isEmpty(f io.Reader) bool {
	_, err := f.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// begin notes that the running environment has come up on trial.
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
	_ = os.Remove(a.mark(e.Record.Trial.Nonce, markWanted)) // it has begun
	return e, nil
}

// taken says whether a trial that does not run now had its chance.
func (a *Activator) taken(e be.Env, state boot.State) bool {
	t := e.Record.Trial
	if !t.Started.IsZero() || t.Fault != nil || state.Tried == t.Nonce || a.marked(t.Nonce, markInitramfs) {
		return true
	}
	// No loader tells of these: the machine has booted since, so they were
	// tried, or were about to be. An upgraded environment is left only for when it
	// is up to date.
	return t.Method != be.Reboot && !(e.NeverBooted() && t.Synced.IsZero())
}

func (a *Activator) marked(nonce, stage string) bool {
	_, err := os.Lstat(a.mark(nonce, stage))
	return err == nil
}

// faultOf says why a trial ended, from how far it came.
func (a *Activator) faultOf(t *be.Trial, state boot.State) be.Fault {
	switch {
	case t.Fault != nil:
		return *t.Fault
	case state.Missing == "kernel":
		return be.Fault{Kind: be.FaultKernelMissing, Text: "the boot loader did not find its kernel"}
	case state.Missing == "initrd":
		return be.Fault{Kind: be.FaultInitrdMissing, Text: "the boot loader did not find its initrd"}
	case !t.Started.IsZero():
		return be.Fault{Kind: be.FaultDeadline, Text: "the machine was reset before its services were found healthy"}
	case a.marked(t.Nonce, markInit):
		return be.Fault{Kind: be.FaultInit, Text: "its init was started and did not bring the system up"}
	case a.marked(t.Nonce, markInitramfs):
		return be.Fault{Kind: be.FaultInitramfs, Text: "its initramfs was started and did not come as far as init"}
	}
	switch t.Method {
	case be.SoftReboot:
		return be.Fault{Kind: be.FaultInit, Text: "the soft-reboot did not come as far as its services"}
	case be.Kexec:
		return be.Fault{Kind: be.FaultKernel, Text: "its kernel was not started, or did not come as far as the initramfs"}
	}
	return be.Fault{Kind: be.FaultKernel, Text: "its kernel did not come as far as the initramfs"}
}

// bootOf is the boot ID that the initramfs of a trial left, or "".
func (a *Activator) bootOf(nonce string) string {
	for _, stage := range []string{markInit, markInitramfs} {
		if text, err := regular.ReadFile(a.mark(nonce, stage), 1<<16); err == nil {
			if ids := strings.Fields(string(text)); len(ids) > 0 {
				return ids[len(ids)-1] // the last time
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

// ErrNoTrial says that the running environment is not on trial.
var ErrNoTrial = errors.New("it is not on trial")

// ErrUnhealthy says that a fault was found in the running environment.
var ErrUnhealthy = errors.New("it is not healthy")

// Bless ends the trial of the running environment well: it is what boots from
// now on, unless it was to be tried once only. One that the machine is about to
// leave is not blessed: ErrUnhealthy.
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

// Fail notes why the running environment, which is on trial, is not healthy.
// The first fault counts. back says whether the machine should leave it: it
// does so by itself once, and not again if somebody boots the environment
// a second time.
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

// OnTrial returns the running environment if it is on trial, or an ErrNoTrial.
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
