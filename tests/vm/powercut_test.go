package vm_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

// cuts is the number of power cuts, at moments that are spread over the whole time, and
// somewhat beyond.
const cuts = 12

// TestPowerCut cuts the power while a boot environment is activated, and during its
// first boot. Either the old environment boots, or the new one, on trial or blessed,
// and apt-be status reports which.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	for _, recipe := range []string{image.BIOSGRUB, image.BIOSBootExt4} {
		t.Run(recipe, func(t *testing.T) {
			t.Run("activate", func(t *testing.T) {
				t.Parallel()
				cutPower(t, recipe, "", "apt-be activate new", func(*guest.Guest) {})
			})
			t.Run("first boot", func(t *testing.T) {
				t.Parallel()
				cutPower(t, recipe, "apt-be activate new", "systemctl reboot", func(g *guest.Guest) {
					wantBoot(t, g.WaitBoot(t), "/@be/new")
					blessed(t, g)
				})
			})
		})
	}
}

// cutPower prepares a machine and cuts its power repeatedly, each time a step later
// after the start of a script, from the same state. The steps cover the time of the
// script.
func cutPower(t *testing.T, recipe, prepare, script string, done func(*guest.Guest)) {
	l := layouts[recipe]
	disk := prepared(t, recipe).Layer(t, "new", "", func(g *guest.Guest) {
		g.Shell(t, "apt-be create new")
	}).Disk(t)
	g := guest.Start(t, disk, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	if prepare != "" {
		g.Shell(t, prepare)
	}
	g.Shell(t, "sync")
	if said := g.Monitor(t, "savevm start"); said != "" {
		t.Fatalf("cannot save the state of the machine: %s", said)
	}
	start := time.Now()
	if _, err := g.Try(t, script); err != nil && !errors.Is(err, guest.ErrRebooted) {
		t.Fatal(err)
	}
	done(g)
	step := time.Since(start) * 12 / 10 / cuts
	g.Kill(t)
	came := map[string]int{}
	for i := range cuts {
		g = guest.Start(t, disk, guest.Options{Arguments: []string{"-loadvm", "start"}})
		g.Monitor(t, "info status") // it answers when the state is loaded
		g.Begin(t, script)
		time.Sleep(time.Duration(i) * step)
		g.Kill(t)

		g = guest.Start(t, disk, guest.Options{})
		boot := g.WaitBoot(t)
		g.Settle(t)
		s := statusOf(t, g)
		fresh := envOf(t, g, "new")
		state := fmt.Sprintf("%s, new is %s", boot.Root, fresh.State)
		t.Logf("cut %d, after %s: %s (%s)", i, time.Duration(i)*step, state, fresh.Reason)
		came[state]++
		switch boot.Root {
		case l.root:
			if s.Running.Name != l.name || s.Next == nil || s.Next.Name != l.name || fresh.State == "armed" || fresh.State == "trying" {
				t.Errorf("cut %d: in the old one, status is %+v, and the new one %+v", i, s, fresh)
			}
			if want := map[bool]int{true: 14, false: 0}[fresh.State == "fell-back"]; s.Exit != want {
				t.Errorf("cut %d: status ends with %d, and the new one is %s", i, s.Exit, fresh.State)
			}
		case "/@be/new":
			if s.Running.Name != "new" || fresh.State != "trying" && fresh.State != "blessed" {
				t.Errorf("cut %d: in the new one, status is %+v", i, s)
			}
		default:
			t.Errorf("cut %d: the machine runs %s", i, boot.Root)
		}
		g.Kill(t)
	}
	t.Logf("after %d cuts: %v", cuts, came)
	if len(came) < 2 {
		t.Error("all cuts came before the change, or after it")
	}
}
