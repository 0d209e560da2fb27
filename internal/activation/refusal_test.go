package activation_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
)

func TestNoKernel(t *testing.T) {
	h := newHost(t)
	for _, kernels := range [][]be.Kernel{nil, {{Version: "6.1", Image: "boot/vmlinuz"}}} {
		h.change("ready", func(r *be.Record) { r.Kernels = kernels })
		before, err := h.loader.Menu()
		h.check(err)
		if err := h.arm("ready", false); !errors.Is(err, activation.ErrNoKernel) {
			t.Errorf("Arm: %v", err)
		}
		if err := h.act.SetDefault(h.get("ready")); !errors.Is(err, activation.ErrNoKernel) {
			t.Errorf("SetDefault: %v", err)
		}
		if after, err := h.loader.Menu(); err != nil || len(after.Entries) != len(before.Entries) || after.Default != before.Default {
			t.Errorf("the menu is %+v, %v", after, err)
		}
	}
}

// A trial of the default falls back to the running environment.
func TestDefaultOnTrial(t *testing.T) {
	h := newHost(t)
	h.check(h.act.SetDefault(h.get("ready")))
	h.check(h.arm("ready", false))
	if e := h.get("rootfs"); !e.Default || e.Next {
		t.Errorf("what a trial comes back to: %+v", e)
	}
	h.wantBoot("ready")
	h.wantBoot("rootfs")
	h.wantState("ready", be.FellBack)
}

// The kernels of the running environment are recorded before another environment runs.
// The menu needs them, and they may differ from those of the first record.
func TestKernelsAreRecorded(t *testing.T) {
	h := newHost(t)
	h.change("rootfs", func(r *be.Record) { r.Kernels = nil })
	h.check(h.arm("ready", false))
	h.wantBoot("ready")
	if kernels := h.get("rootfs").Record.Kernels; len(kernels) != 1 {
		t.Errorf("the kernels of rootfs are %v", kernels)
	}
	h.change("rootfs", func(r *be.Record) { r.Kernels = nil })
	h.change("rootfs", func(r *be.Record) { r.Title = "old" })
	identified, err := h.reg.Identify(h.get("rootfs"))
	h.check(err)
	h.check(h.act.SetDefault(identified))
	h.wantBoot("rootfs")
}

// An environment without its kernel is left out of the menu.
func TestMenuSkipsBrokenEnvironment(t *testing.T) {
	h := newHost(t)
	h.check(os.WriteFile(filepath.Join(h.store.Path("@be/healthy"), "boot/initrd"), nil, 0o644))
	h.check(h.act.Refresh())
	menu, err := h.loader.Menu()
	h.check(err)
	if len(menu.Entries) != 2 || menu.Entries[0].Name != "rootfs" || menu.Entries[1].Name != "ready" {
		t.Errorf("the menu is %+v", menu.Entries)
	}
}

// An environment that the machine is about to leave is not blessed.
func TestBlessAfterFault(t *testing.T) {
	h := newHost(t)
	h.check(h.arm("ready", false))
	h.wantBoot("ready")
	_, err := h.act.Fail(be.Fault{Kind: be.FaultDeadline, Text: "too late"})
	h.check(err)
	if _, err := h.act.Bless(); !errors.Is(err, activation.ErrUnhealthy) {
		t.Errorf("Bless: %v", err)
	}
	h.wantBoot("rootfs")
	h.wantState("ready", be.FellBack)
}

// If the initrd must end the trial, Arm checks that the initrd can.
func TestNoFallback(t *testing.T) {
	h := newHost(t)
	ends, asked := false, ""
	h.act.EndsTrial = func(e be.Env, initrd string) (bool, error) {
		asked = e.Name + ":" + initrd
		return ends, nil
	}
	h.check(h.arm("ready", false))
	if asked != "" {
		t.Error("asked although the loader ends trials itself")
	}
	h.loader.Weak = true
	if err := h.arm("healthy", false); !errors.Is(err, activation.ErrNoFallback) || asked != "healthy:boot/initrd" {
		t.Errorf("Arm: %v, asked for %q", err, asked)
	}
	h.wantState("ready", be.Armed)
	_, err := h.act.Arm(h.get("healthy"), activation.ArmOptions{Method: be.Reboot, NoFallback: true})
	h.check(err)
	h.check(h.act.Disarm())
	_, err = h.act.Arm(h.get("healthy"), activation.ArmOptions{Method: be.Kexec})
	h.check(err)
	ends = true
	h.check(h.arm("ready", false))
}
