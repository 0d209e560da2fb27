package activation_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/be/betest"
	"github.com/apt-be/apt-be/internal/boot/boottest"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// host is a machine with three environments: the installer's, ready, and healthy, which
// is blessed.
type host struct {
	*betest.Machine
	store  *fake.Store
	loader *boottest.Loader
	reg    *be.Registry
	act    *activation.Activator
	boots  int
	nonce  string // of the running kernel's command line
}

func newHost(t *testing.T) *host {
	m := betest.New(t)
	h := &host{Machine: m, store: m.Store, loader: &boottest.Loader{Dir: t.TempDir()}}
	for _, file := range []string{"vmlinuz", "initrd"} {
		m.Write("@rootfs/boot/"+file, file)
	}
	h.connect()
	for _, name := range []string{"healthy", "ready"} {
		h.create(name)
	}
	h.change("healthy", func(r *be.Record) { r.State, r.BlessedAt = be.Blessed, time.Now() })
	h.check(h.act.SetDefault(h.get("rootfs")))
	return h
}

// connect creates a new registry and activator, as a new process does.
func (h *host) connect() {
	identify := func(string) (be.Identity, error) {
		return be.Identity{Title: "Debian", Kernels: []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}}}, nil
	}
	h.reg = be.NewRegistry(h.store, "/", identify)
	h.act = &activation.Activator{
		Registry: h.reg, Loader: h.loader, FSUUID: "1-2", Parameters: "quiet",
		Files: func(path string) (io.ReadCloser, error) { return os.Open(h.store.Path(path)) },
	}
	h.reg.Loader = h.act.NextBoot
}

func (h *host) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *host) create(name string) {
	h.Helper()
	options := betest.Options(h.T, h.reg, name)
	options.Origin = h.get("rootfs")
	_, err := betest.Begin(h.T, h.reg, options).Commit(context.Background(), be.Ready, func(r *be.Record) {
		r.Kernels = []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}}
	})
	h.check(err)
}

func (h *host) get(name string) be.Env {
	h.Helper()
	return betest.Get(h.T, h.reg, name)
}

func (h *host) change(name string, edit func(*be.Record)) {
	h.Helper()
	h.check(h.reg.Change(h.get(name), edit))
}

func (h *host) bootID() string { return fmt.Sprintf("boot-%d", h.boots) }

func (h *host) arm(name string, once bool) error {
	_, err := h.act.Arm(h.get(name), activation.ArmOptions{Method: be.Reboot, Once: once, Deadline: time.Minute, BootID: h.bootID()})
	return err
}

// start resets the machine, up to the start of userspace. It checks that the
// environment boots that List called next.
func (h *host) start() string {
	h.Helper()
	h.connect()
	envs, err := h.reg.List()
	h.check(err)
	next := envs[slices.IndexFunc(envs, func(e be.Env) bool { return e.Next })].Name
	name, nonce, err := h.loader.PowerOn()
	h.check(err)
	if name != next {
		h.Errorf("next was said to be %s, and %s boots", next, name)
	}
	h.boots++
	h.nonce = nonce
	h.check(h.store.SetRunning(h.get(name).Subvolume.Path))
	return name
}

// boot resets the machine and boots it up to apt-be-boot.service.
func (h *host) boot() (string, activation.Booted) {
	h.Helper()
	name := h.start()
	found, err := h.act.Boot(h.nonce, h.bootID())
	h.check(err)
	return name, found
}

func (h *host) wantBoot(want string) activation.Booted {
	h.Helper()
	got, found := h.boot()
	if got != want {
		h.Fatalf("%s boots, want %s", got, want)
	}
	return found
}

func (h *host) wantState(name string, want be.State) be.Env {
	h.Helper()
	e := h.get(name)
	if e.ShownState() != want {
		h.Errorf("%s is %s (%s), want %s", name, e.ShownState(), e.Record.Reason, want)
	}
	return e
}

func TestBlessed(t *testing.T) {
	h := newHost(t)
	h.check(h.arm("ready", false))
	h.wantState("ready", be.Armed)
	if found := h.wantBoot("ready"); found.Trial == nil {
		t.Fatal("it does not know that it is on trial")
	}
	h.wantState("ready", be.Trying)
	if e := h.get("rootfs"); !e.Next {
		t.Error("a reset during the trial would not lead to the default")
	}
	_, err := h.act.Bless()
	h.check(err)
	h.wantState("ready", be.Blessed)
	h.wantBoot("ready")
	if _, err := h.act.Bless(); !errors.Is(err, activation.ErrNoTrial) {
		t.Errorf("a second blessing: %v", err)
	}
}

func TestArmOnce(t *testing.T) {
	h := newHost(t)
	h.check(h.arm("ready", true))
	h.wantBoot("ready")
	_, err := h.act.Bless()
	h.check(err)
	h.wantState("ready", be.Blessed)
	h.wantBoot("rootfs")
	h.wantState("ready", be.Blessed)
}

func TestFallback(t *testing.T) {
	for _, test := range []struct {
		name   string
		damage func(h *host, nonce string)
		want   be.FaultKind
	}{
		{"the kernel", func(*host, string) {}, be.FaultKernel},
		{"the initramfs", func(h *host, nonce string) { h.mark(nonce, "initramfs") }, be.FaultInitramfs},
		{"init", func(h *host, nonce string) { h.mark(nonce, "initramfs"); h.mark(nonce, "init") }, be.FaultInit},
		{"before it is healthy", func(h *host, nonce string) { _, err := h.act.Boot(nonce, h.bootID()); h.check(err) }, be.FaultDeadline},
		{"a check", func(h *host, nonce string) {
			_, err := h.act.Boot(nonce, h.bootID())
			h.check(err)
			back, err := h.act.Fail(be.Fault{Kind: be.FaultHealth, Text: "ssh.service failed"})
			h.check(err)
			if !back {
				h.Error("the machine is to stay")
			}
		}, be.FaultHealth},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHost(t)
			h.check(h.arm("ready", false))
			if got := h.start(); got != "ready" {
				t.Fatalf("%s boots", got)
			}
			test.damage(h, h.nonce)
			found := h.wantBoot("rootfs")
			if len(found.Failed) != 1 || found.Failed[0].Name != "ready" {
				t.Fatalf("found %+v", found.Failed)
			}
			e := h.wantState("ready", be.FellBack)
			if f := e.Record.Trial.Fault; f == nil || f.Kind != test.want || e.Record.Reason != f.Text {
				t.Errorf("the fault is %+v (%s), want %s", f, e.Record.Reason, test.want)
			}
			if found := h.wantBoot("rootfs"); len(found.Failed) > 0 {
				t.Error("it is told twice")
			}
			// A user arms the trial this time: the machine does not reboot by itself.
			h.check(h.arm("ready", false))
			h.wantBoot("ready")
			back, err := h.act.Fail(be.Fault{Kind: be.FaultHealth, Text: "again"})
			h.check(err)
			if back {
				t.Error("a second fallback")
			}
		})
	}
}

// TestInitrdMissing uses a loader that cannot write. It finds no initrd and boots the
// default. The trial is still armed, and would fail at every boot.
func TestInitrdMissing(t *testing.T) {
	h := newHost(t)
	h.check(h.arm("ready", false))
	h.check(os.Remove(h.store.Path("@be/ready/boot/initrd")))
	h.connect()
	h.boots++
	found, err := h.act.Boot("", h.bootID())
	h.check(err)
	if e := h.wantState("ready", be.FellBack); len(found.Failed) != 1 || e.Record.Trial.Fault.Kind != be.FaultInitrdMissing {
		t.Errorf("found %+v", found.Failed)
	}
	h.wantBoot("rootfs")
}

func (h *host) mark(nonce, stage string) {
	h.check(os.WriteFile(h.store.Path(be.HomeDir+"/trial/"+nonce+"."+stage), nil, 0o600))
}

// An environment that a user picks from the menu does not count as a failure of the
// armed trial.
func TestPickedFromMenu(t *testing.T) {
	h := newHost(t)
	h.check(h.arm("ready", false))
	for _, picked := range []string{"healthy", "ready", "rootfs"} {
		h.connect()
		h.boots++
		h.check(h.store.SetRunning(h.get(picked).Subvolume.Path))
		found, err := h.act.Boot("", h.bootID())
		h.check(err)
		if len(found.Failed) > 0 || found.Trial != nil {
			t.Errorf("%s picked: found %+v", picked, found)
		}
		if e := h.get("ready"); !e.Armed || !e.Next {
			t.Errorf("%s picked: ready is not armed any more", picked)
		}
	}
	h.wantBoot("ready")
}

func TestDisarm(t *testing.T) {
	h := newHost(t)
	h.check(h.arm("ready", false))
	h.check(h.act.Disarm())
	h.wantState("ready", be.Ready)
	h.wantBoot("rootfs")
	h.wantState("ready", be.Ready)
	// Arming another trial replaces the first one.
	h.check(h.arm("ready", false))
	h.check(h.arm("healthy", false))
	h.wantState("ready", be.Ready)
	h.check(h.act.SetDefault(h.get("healthy")))
	h.wantBoot("healthy")
	h.wantState("ready", be.Ready)
}

// TestPowerCut cuts the power before and after each write of the loader. The machine
// then boots the old default, the trial or the blessed environment; List called that
// environment next; and no fault is recorded without a failure.
func TestPowerCut(t *testing.T) {
	for name, do := range map[string]func(h *host) error{
		"arm":    func(h *host) error { return h.arm("ready", false) },
		"rearm":  func(h *host) error { return errors.Join(h.arm("healthy", false), h.arm("ready", false)) },
		"disarm": func(h *host) error { return errors.Join(h.arm("ready", false), h.act.Disarm()) },
		"rollback": func(h *host) error {
			return errors.Join(h.arm("ready", false), h.act.SetDefault(h.get("healthy")))
		},
		"bless": func(h *host) error {
			if err := h.arm("ready", false); err != nil {
				return err
			}
			cut := h.loader.Cut
			h.boot()
			h.loader.Cut = cut
			_, err := h.act.Bless()
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			cuts := 0
			for after := 0; ; after++ {
				h := newHost(t)
				left := after
				h.loader.Cut = func() bool { left--; return left < 0 }
				err := do(h)
				if err == nil {
					break
				}
				if !errors.Is(err, boottest.ErrCut) {
					t.Fatal(err)
				}
				cuts++
				first, found := h.boot()
				if name != "bless" && len(found.Failed) > 0 {
					t.Errorf("cut %d: %s counts as failed", after, found.Failed[0].Name)
				}
				if found.Trial != nil {
					_, err := h.act.Bless()
					h.check(err)
				}
				second, found := h.boot()
				if second != first || len(found.Failed) > 0 || found.Trial != nil {
					t.Errorf("cut %d: %s boots, then %s, %+v", after, first, second, found)
				}
				if e := h.get(second); name == "bless" && second == "ready" && e.Record.State != be.Blessed {
					t.Errorf("cut %d: %s boots and is %s", after, second, e.Record.State)
				}
			}
			if cuts < 4 {
				t.Errorf("the power went only %d times", cuts)
			}
		})
	}
}
