package activation_test

import (
	"errors"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/boottest"
)

func (h *host) wantStay(want string) {
	h.Helper()
	got, err := h.act.Deactivate()
	h.check(err)
	if next, err := h.loader.Default(); got != want || err != nil || next != want {
		h.Errorf("stays with %s, and %s boots, %v; want %s", got, next, err, want)
	}
}

// TestStay checks that the running system stays the default: a chosen default and an
// armed trial that have not been booted are reverted.
func TestStay(t *testing.T) {
	h := newHost(t)
	h.wantStay("rootfs")
	h.check(h.act.Choose(h.get("healthy")))
	h.check(h.act.Choose(h.get("healthy")))
	if e := h.get("healthy"); !e.Next {
		t.Error("what was chosen is not next")
	}
	h.wantStay("rootfs")
	h.wantStay("rootfs")

	h.check(h.act.Choose(h.get("healthy")))
	h.check(h.arm("ready", false))
	h.wantStay("rootfs")
	h.wantState("ready", be.Ready)

	h.check(h.act.Choose(h.get("healthy")))
	h.check(h.act.Choose(h.get("rootfs")))
	h.wantStay("rootfs")

	h.check(h.act.Choose(h.get("healthy")))
	h.wantBoot("healthy")
	h.wantStay("healthy")
	h.check(h.act.Choose(h.get("rootfs")))
	h.wantStay("healthy")
	h.wantBoot("healthy")
}

// TestStayAfterBlessing checks that a blessed trial is not reverted.
func TestStayAfterBlessing(t *testing.T) {
	h := newHost(t)
	h.check(h.act.Choose(h.get("healthy")))
	h.check(h.arm("ready", false))
	h.wantBoot("ready")
	_, err := h.act.Bless()
	h.check(err)
	h.wantStay("ready")
	h.wantBoot("ready")
}

// TestChooseDuringPowerCut cuts the power at each write: one of the two environments boots, and
// stays the default.
func TestChooseDuringPowerCut(t *testing.T) {
	for n := 0; ; n++ {
		h, left := newHost(t), n
		h.loader.Cut = func() bool { left--; return left < 0 }
		err := h.act.Choose(h.get("healthy"))
		if err == nil {
			_, err = h.act.Deactivate()
		}
		if err == nil {
			if n < 4 {
				t.Errorf("the power went only %d times", n)
			}
			return
		}
		if !errors.Is(err, boottest.ErrCut) {
			t.Fatal(err)
		}
		name, _ := h.boot()
		if name != "healthy" && name != "rootfs" {
			t.Errorf("cut off %d: %s boots", n, name)
		}
		h.wantStay(name)
	}
}
