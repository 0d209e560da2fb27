package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/be/betest"
	"github.com/apt-be/apt-be/internal/boot/boottest"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// machine is a machine that runs from @rootfs, which is the default, with a second
// environment called target.
type machine struct {
	*betest.Machine
	store  *fake.Store
	loader *boottest.Loader
	boots  int
	nonce  string // of the running kernel's command line
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{Machine: betest.New(t), loader: &boottest.Loader{Dir: t.TempDir()}}
	m.store = m.Store
	m.Write("@rootfs/boot/vmlinuz", "kernel")
	m.Write("@rootfs/boot/initrd", "initrd")
	m.Write("@rootfs/etc/fstab", "UUID=1 / btrfs subvol=@rootfs 0 0\n")
	m.Write("@rootfs/var/lib/dpkg/status", "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n")
	m.Write("@rootfs/srv/data", "old")
	l := m.lifecycle()
	running, err := l.Registry.Running()
	betest.Check(t, err)
	betest.Check(t, l.Act.SetDefault(running))
	return m
}

// quiet is a machine of which only its store and its boot loader change.
type quiet struct{}

func (quiet) Stopping(context.Context) bool   { return true }
func (quiet) LeaveJournal(context.Context)    {}
func (quiet) ReturnToJournal(context.Context) {}
func (quiet) Suspend(be.Env) (func(be.Env) error, error) {
	return func(be.Env) error { return nil }, nil
}
func (quiet) Unprepare() error                                       { return nil }
func (quiet) Release() error                                         { return nil }
func (quiet) BeginTrial(be.Trial) error                              { return nil }
func (quiet) EndTrial() error                                        { return nil }
func (quiet) OnTrial() bool                                          { return false }
func (quiet) KeepJournal(context.Context, store.Store, be.Env) error { return nil }
func (quiet) Leave(context.Context) error                            { return nil }
func (quiet) Go(context.Context, be.Env, be.Method) error            { return nil }

// noSandbox runs no commands.
type noSandbox struct{}

func (noSandbox) Execute(inside.Root, string, []string, ...*os.File) (inside.Exit, error) {
	return inside.Exit{}, nil
}

// lifecycle returns the life cycle of a new process.
func (m *machine) lifecycle() *Lifecycle {
	identify := func(string) (be.Identity, error) {
		return be.Identity{Title: "Debian", Kernels: []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}}}, nil
	}
	reg := be.NewRegistry(m.store, "/", identify)
	act := &activation.Activator{
		Registry: reg, Loader: m.loader, FSUUID: "1-2", Parameters: "quiet",
		Files: func(path string) (io.ReadCloser, error) { return os.Open(m.store.Path(path)) },
	}
	reg.Loader = act.NextBoot
	log := logrus.New()
	log.SetOutput(io.Discard)
	notice := ui.NewNotice(io.Discard, true)
	return &Lifecycle{
		Registry: reg, Act: act, Shares: share.New(reg, share.NoHost{}), Machine: quiet{}, Root: "/", Notice: notice, Log: log,
		Syncer: &catchup.Syncer{
			Registry: reg, Sandbox: noSandbox{}, Notice: notice,
			LockEnv:      func(ctx context.Context, e be.Env) (*txn.Lock, error) { return reg.Use(ctx, e) },
			LockPackages: func(context.Context, be.Env) (func(), error) { return func() {}, nil },
			MountPoints:  func(be.Env) []string { return nil },
			OnRecovered:  func([]txn.Recovered) {},
		},
		Locked: func(ctx context.Context, do func() error) error {
			release, err := reg.Lock(ctx)
			if err != nil {
				return err
			}
			defer release()
			if _, err := reg.Recover(ctx); err != nil {
				return err
			}
			return do()
		},
		TrialOptions: func(context.Context, be.Method) (activation.ArmOptions, error) { return m.options(), nil },
	}
}

func (m *machine) options() activation.ArmOptions {
	return activation.ArmOptions{Method: be.Reboot, Deadline: time.Minute, BootID: m.bootID()}
}

func (m *machine) bootID() string { return fmt.Sprintf("boot-%d", m.boots) }

func (m *machine) get() be.Env {
	m.Helper()
	return betest.Get(m.T, m.lifecycle().Registry, "target")
}

func (m *machine) change(edit func(*be.Record)) {
	m.Helper()
	betest.Check(m.T, m.lifecycle().Registry.Change(m.get(), edit))
}

// fire runs an event without a crash.
func (m *machine) fire(event Event) {
	m.Helper()
	betest.Check(m.T, m.lifecycle().fire(context.Background(), event, &work{env: m.get(), options: m.options()}))
}

// reset resets the machine, and boots until it stays up. It returns the name of the
// running environment.
func (m *machine) reset() string {
	m.Helper()
	for range 3 {
		name, nonce, err := m.loader.PowerOn()
		betest.Check(m.T, err)
		if !m.boot(name, nonce) {
			return name
		}
	}
	m.Fatal("the machine reboots again and again")
	return ""
}

// boot boots an environment, as the boot loader or a user in its menu does. leaving
// reports whether the machine reboots.
func (m *machine) boot(name, nonce string) (leaving bool) {
	m.Helper()
	m.boots++
	m.nonce = nonce
	l := m.lifecycle()
	betest.Check(m.T, m.store.SetRunning(betest.Get(m.T, l.Registry, name).Subvolume.Path))
	leaving, err := m.lifecycle().CatchUp(context.Background(), nonce)
	if err == nil && !leaving {
		_, err = m.lifecycle().Boot(context.Background(), nonce, m.bootID())
	}
	betest.Check(m.T, err)
	return leaving
}

// put makes target, and brings it to a state. With own, target must run: the machine has
// booted it.
func (m *machine) put(state State, own bool) {
	m.Helper()
	upgraded := state != Ready && state != Blessed && state != FellBack && state != Armed
	l := m.lifecycle()
	options := betest.Options(m.T, l.Registry, "target")
	if upgraded {
		options.CreatedBy = be.Redirect
	}
	_, err := betest.Begin(m.T, l.Registry, options).Commit(context.Background(), be.Ready, func(r *be.Record) {
		r.Kernels = []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}}
	})
	betest.Check(m.T, err)
	m.Write("@rootfs/srv/data", "new")
	switch state {
	case Wanted, Armed:
		m.fire(Activate)
	case Trying:
		m.fire(Activate)
		m.fire(Shutdown)
		if m.reset() != "target" {
			m.Fatal("target does not boot")
		}
	case Blessed:
		m.change(func(r *be.Record) { r.State, r.BlessedAt = be.Blessed, time.Now() })
	case FellBack:
		m.change(func(r *be.Record) { r.State = be.FellBack })
	case Stale:
		m.change(func(r *be.Record) { r.State = be.Stale })
	case Unusable:
		m.change(func(r *be.Record) { r.State = be.Failed })
	}
	if own && state != Trying {
		m.boots++
		betest.Check(m.T, m.store.SetRunning(m.get().Subvolume.Path))
	}
}

// want is the machine after a crash and the next boot: the running environment, and the
// state of target.
type want struct {
	boots string
	state State
}

// wants returns, for a transition, the result of a crash after each of its steps.
func wants(from State, t *Transition) (all []want) {
	repeat := func(n int, w want) []want {
		list := make([]want, n)
		for i := range list {
			list[i] = w
		}
		return list
	}
	old, trial := func(s State) want { return want{"rootfs", s} }, want{"target", Trying}
	steps := len(t.Steps)
	switch t.Event {
	case Activate:
		if t.To == Wanted {
			return repeat(steps, old(Wanted))
		}
		return repeat(steps, trial)
	case Choose:
		switch from {
		case Upgraded: // its first boot catches up, and boots once more on trial
			return repeat(steps, trial)
		case Trying: // this completes the trial: a user has decided
			return repeat(steps, want{"target", Blessed})
		case Armed: // the user's own environment, without the trial
			return repeat(steps, want{"target", Ready})
		}
		return repeat(steps, want{"target", from})
	case Shutdown:
		switch from {
		case Wanted: // only the last step, the confirmation, makes the loader take the trial
			return append(repeat(steps-1, old(Wanted)), trial)
		case Armed, Upgraded:
			return repeat(steps, trial)
		}
		return repeat(steps, want{"target", from})
	case BootUnsynced:
		return append(repeat(steps-2, old(Wanted)), trial, trial)
	case BootOnTrial, Unhealthy:
		return repeat(steps, old(FellBack))
	case OtherBoots:
		return repeat(steps, old(FellBack))
	case Healthy:
		return repeat(steps, want{"target", Blessed})
	case Cancel:
		if from == Wanted {
			return []want{old(Wanted), old(Upgraded)}
		}
		return []want{trial, old(Ready)}
	case PackagesChanged:
		switch from {
		case Wanted:
			return []want{old(Wanted), old(Upgraded), old(Stale)}
		case Armed:
			return []want{trial, old(Ready), old(Stale)}
		}
		return []want{old(Stale)}
	case Replay:
		return repeat(steps, old(t.To))
	}
	return nil
}

// TestTable walks every transition, crashes after each of its steps, resets the machine,
// and checks which environment boots and the state after that boot.
func TestTable(t *testing.T) {
	for i := range table {
		row := &table[i]
		for _, from := range row.From {
			if from == Unusable {
				continue // the boot loader has no entry for it
			}
			expected := wants(from, row)
			if len(expected) != len(row.Steps) {
				t.Fatalf("%s, %s: %d results are expected for %d steps", from, row.Event, len(expected), len(row.Steps))
			}
			for step := range row.Steps {
				t.Run(fmt.Sprintf("%s/%s/%s", from, row.Event, row.Steps[step].Name), func(t *testing.T) {
					walk(t, from, row, step, expected[step])
				})
			}
		}
	}
}

// walk crashes after a step of a transition.
func walk(t *testing.T, from State, row *Transition, step int, expected want) {
	m := newMachine(t)
	own := row.Event == BootUnsynced
	m.put(from, own)
	isDefault := row.Event == Shutdown && from != Wanted && from != Armed
	if isDefault {
		if from == Trying { // another boot before target was judged
			betest.Check(t, m.store.SetRunning("@rootfs"))
			m.change(func(r *be.Record) { r.Trial = nil })
		}
		betest.Check(t, m.lifecycle().Act.SetDefault(m.get()))
	}
	l := m.lifecycle()
	if got, err := l.StateOf(m.get()); err != nil || got != from {
		t.Fatalf("the state is %s, %v, want %s", got, err, from)
	}
	n := 0
	l.crash = func(string) error {
		if n++; n > step {
			return errCrash
		}
		return nil
	}
	w := &work{env: m.get(), options: m.options(), nonce: m.nonce, fault: be.Fault{Kind: be.FaultHealth, Text: "it is unhealthy"}}
	if err := l.fire(context.Background(), row.Event, w); !errors.Is(err, errCrash) {
		t.Fatalf("fire = %v, want a crash", err)
	}
	if step == len(row.Steps)-1 && row.To != Same {
		if got, err := m.lifecycle().StateOf(m.get()); err != nil || got != row.To {
			t.Errorf("the state after all steps is %s, %v, want %s", got, err, row.To)
		}
	}
	name := m.reset()
	got, err := m.lifecycle().StateOf(m.get())
	if err != nil || (want{name, got}) != expected {
		t.Errorf("%s boots, and target is %s (%v); want %+v", name, got, err, expected)
	}
	if data, err := os.ReadFile(m.store.Path("@rootfs/srv/data")); err != nil || string(data) != "new" {
		t.Errorf("the data of the running system is %q, %v", data, err)
	}
	if upgraded := m.get().Record.CreatedBy == be.Redirect; name == "target" && upgraded && from != Trying && from != Stale {
		if data, err := os.ReadFile(m.store.Path(m.get().Subvolume.Path + "/srv/data")); err != nil || string(data) != "new" {
			t.Errorf("target runs with the data %q, %v: a change is lost", data, err)
		}
	}
}

// A failed sync at shutdown leaves the machine with the running system.
func TestShutdownWithoutSync(t *testing.T) {
	m := newMachine(t)
	m.put(Wanted, false)
	m.Write("@be/target/srv/data", "both changed it")
	if err := m.lifecycle().Shutdown(context.Background()); err == nil || !strings.Contains(err.Error(), "cannot boot target") {
		t.Fatalf("Shutdown = %v", err)
	}
	if name := m.reset(); name != "rootfs" {
		t.Errorf("%s boots", name)
	}
	if e := m.get(); e.Armed || !strings.Contains(e.Record.HoldReason, "/srv/data") {
		t.Errorf("it is armed: %v, and held because of %q", e.Armed, e.Record.HoldReason)
	}
}

// An event that a state does not allow changes nothing.
func TestForbiddenEvent(t *testing.T) {
	m := newMachine(t)
	m.put(Stale, false)
	err := m.lifecycle().fire(context.Background(), Healthy, &work{env: m.get()})
	if !errors.Is(err, be.ErrProtected) {
		t.Errorf("fire = %v", err)
	}
}
