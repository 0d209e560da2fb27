package activation_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/durable"
)

// upgraded returns a host on which ready is an upgrade, with a wanted trial.
func upgraded(t *testing.T) *host {
	h := newHost(t)
	h.change("ready", func(r *be.Record) { r.CreatedBy = be.Redirect })
	h.check(h.arm("ready", false))
	return h
}

// fullDisk makes all writes fail until the test ends or free is called.
func fullDisk(t *testing.T, err error) (free func()) {
	durable.Before = func(string) error { return err }
	free = func() { durable.Before = nil }
	t.Cleanup(free)
	return free
}

// reset resets the machine, checks which environment boots, and settles the boot.
func (h *host) reset(want string) activation.Booted {
	h.Helper()
	h.connect()
	name, nonce, err := h.loader.PowerOn()
	h.check(err)
	if name != want {
		h.Fatalf("%s boots, want %s", name, want)
	}
	h.boots++
	h.check(h.store.SetRunning(h.get(name).Subvolume.Path))
	found, err := h.act.Boot(nonce, h.bootID())
	h.check(err)
	return found
}

// sync syncs ready, as a shutdown does.
func (h *host) sync() {
	h.Helper()
	e := h.get("ready")
	h.check(h.act.BeginSync(e))
	lacks, err := h.act.NeedsSync(e)
	h.check(err)
	if !lacks {
		h.Fatal("ready is said to be up to date")
	}
	h.change("ready", func(r *be.Record) { r.Trial.Synced = time.Now() })
	h.check(h.act.Confirm(h.get("ready")))
}

func (h *host) wantPassed(want bool) {
	h.Helper()
	e := h.get("ready")
	if !e.Armed || !e.Next {
		h.Error("ready is not to be booted any more")
	}
	if got := activation.PassedOver(e, h.bootID()); got != want {
		h.Errorf("that the machine came up without ready: %v, want %v", got, want)
	}
}

// An upgrade is not booted before its sync, whatever resets the machine. Its trial
// stays wanted.
func TestUpgradeWaitsForSync(t *testing.T) {
	h := upgraded(t)
	h.wantPassed(false)
	for range 2 {
		if found := h.reset("rootfs"); len(found.Failed) > 0 || found.Trial != nil {
			t.Errorf("found %+v", found)
		}
		h.wantPassed(true)
	}
	h.sync()
	h.wantPassed(false)
	if found := h.reset("ready"); found.Trial == nil {
		t.Error("it does not know that it is on trial")
	}
	_, err := h.act.Bless()
	h.check(err)
	if found := h.reset("ready"); found.Trial != nil {
		t.Error("it is on trial again")
	}
}

// The sync of an upgrade becomes outdated when another system boots.
func TestOtherBootOutdatesSync(t *testing.T) {
	for i, err := range []error{nil, syscall.ENOSPC} {
		h := upgraded(t)
		h.sync()
		h.connect()
		h.boots += i // a soft reboot keeps the boot ID
		free := fullDisk(t, err)
		_, bootErr := h.act.Boot("", h.bootID())
		free()
		h.check(bootErr)
		h.reset("rootfs")
		h.sync()
		h.reset("ready")
	}
}

// A trial of an upgrade that fails counts as a failed trial.
func TestFailedTrialOfUpgrade(t *testing.T) {
	h := upgraded(t)
	h.sync()
	h.start()
	if found := h.reset("rootfs"); len(found.Failed) != 1 {
		t.Errorf("found %+v", found)
	}
	h.wantState("ready", be.FellBack)
	if held := h.get("ready").Record.HoldReason; held != "" {
		t.Errorf("what was booted and failed says that it was not booted: %q", held)
	}
	if e := h.get("ready"); e.Armed {
		t.Error("it is to be booted again")
	}
}

// Cancelling a trial needs no space. The rest is done when there is space again.
func TestFullDisk(t *testing.T) {
	for name, take := range map[string]func(h *host) error{
		"disarm":   func(h *host) error { return h.act.Disarm() },
		"postpone": func(h *host) error { return h.act.Postpone(h.get("ready"), "there is no room") },
	} {
		for armed, full := range map[bool]error{false: syscall.ENOSPC, true: syscall.EDQUOT} {
			h := upgraded(t)
			if armed {
				h.sync()
			}
			free := fullDisk(t, full)
			h.check(take(h))
			if found := h.reset("rootfs"); len(found.Failed) > 0 {
				t.Errorf("%s: found %+v", name, found.Failed)
			}
			free()
			if found := h.reset("rootfs"); len(found.Failed) > 0 {
				t.Errorf("%s: found %+v", name, found.Failed)
			}
			if e := h.get("ready"); e.Next != (name == "postpone") || e.Record.State != be.Ready {
				t.Errorf("%s: ready is %s, next: %v", name, e.Record.State, e.Next)
			}
			if name == "postpone" {
				h.sync()
				h.reset("ready")
			}
		}
	}
}

// Without space, Arm fails and the machine has no armed trial, as before.
func TestArmOnFullDisk(t *testing.T) {
	h := newHost(t)
	h.change("ready", func(r *be.Record) { r.CreatedBy = be.Redirect })
	for _, name := range []string{"ready", "healthy"} {
		free := fullDisk(t, syscall.ENOSPC)
		if err := h.arm(name, false); err == nil {
			t.Errorf("%s was armed", name)
		}
		h.reset("rootfs")
		free()
		h.reset("rootfs")
		envs, err := h.reg.List()
		h.check(err)
		if i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Armed || e.Record.Trial != nil }); i >= 0 {
			t.Errorf("%s: %s has a trial", name, envs[i].Name)
		}
	}
}

// A kexec or soft reboot to an upgrade that was not synced does not count as a boot.
func TestKexecToUnsyncedUpgrade(t *testing.T) {
	for _, synced := range []bool{false, true} {
		h := newHost(t)
		h.change("ready", func(r *be.Record) { r.CreatedBy = be.Redirect })
		_, err := h.act.Arm(h.get("ready"), activation.ArmOptions{Method: be.Kexec, Deadline: time.Minute, BootID: h.bootID()})
		h.check(err)
		if synced {
			h.sync()
		}
		if found := h.reset("rootfs"); (len(found.Failed) == 1) != synced {
			t.Errorf("synced %v: found %+v", synced, found.Failed)
		}
	}
}
