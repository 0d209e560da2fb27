package be_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
)

func env(name string, age int, change func(*be.Env)) be.Env {
	e := be.Env{Name: name, Record: be.Record{State: be.Ready, CreatedBy: be.User, Created: day(30 - age)}}
	if change != nil {
		change(&e)
	}
	return e
}

func free(be.Env) bool { return false }

// made sets the creator and the state of an environment.
func made(maker be.Creator, state be.State) func(*be.Env) {
	return func(e *be.Env) { e.Record.CreatedBy, e.Record.State = maker, state }
}

// armed makes an environment the trial of the next boot.
func armed(e *be.Env) { e.Armed = true }

func TestCheckDestroy(t *testing.T) {
	running := env("running", 0, func(e *be.Env) { e.Running, e.Record.State = true, be.Blessed })
	for _, tt := range []struct {
		name    string
		envs    []be.Env
		mounted bool
		want    error
		says    string
	}{
		{"x", []be.Env{running, env("x", 1, nil)}, false, nil, ""},
		{"none", []be.Env{running}, false, be.ErrNotFound, "none"},
		{"running", []be.Env{running}, false, be.ErrProtected, "it is the running one"},
		{"x", []be.Env{running, env("x", 1, func(e *be.Env) { e.Next = true })}, false, be.ErrProtected, "the next boot takes it"},
		{"x", []be.Env{running, env("x", 1, func(e *be.Env) { e.Record.Kept = true })}, false, be.ErrProtected, "marked as kept"},
		{"x", []be.Env{running, env("x", 1, func(e *be.Env) { e.Default = true })}, false, be.ErrProtected, "it is the default"},
		{"x", []be.Env{running, env("x", 1, func(e *be.Env) { e.Origin = true })}, false, be.ErrProtected, "apt-be init --undo"},
		{"x", []be.Env{running, env("x", 1, nil)}, true, be.ErrProtected, "mounted or in use"},
		{"x", []be.Env{running, env("x", 1, armed)}, false, be.ErrProtected, "the next boot tries it"},
		{"x", []be.Env{env("new", 0, func(e *be.Env) { e.Running = true }), env("x", 1, func(e *be.Env) { e.Record.State = be.Blessed })},
			false, be.ErrProtected, "the last blessed environment"},
		{"x", []be.Env{running, env("x", 1, func(e *be.Env) { e.Record.State = be.Blessed })}, false, nil, ""},
	} {
		err := be.CheckDestroy(tt.envs, tt.name, func(e be.Env) bool { return tt.mounted && e.Name == tt.name })
		if !errors.Is(err, tt.want) || tt.want != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("CheckDestroy(%s) = %v, want %v with %q", tt.name, err, tt.want, tt.says)
		}
	}
}

func TestPrune(t *testing.T) {
	envs := []be.Env{
		env("running", 5, func(e *be.Env) { made(be.Redirect, be.Blessed)(e); e.Running = true }),
		env("installer", 20, made(be.Installer, be.Ready)),
		env("mine", 19, made(be.User, be.Ready)),
		env("kept", 18, func(e *be.Env) { made(be.Redirect, be.Stale)(e); e.Record.Kept = true }),
		env("mounted", 17, made(be.Redirect, be.Stale)),
		env("oldest", 16, made(be.Redirect, be.Blessed)),
		env("older", 15, made(be.Command, be.Blessed)),
		env("guard", 14, made(be.Guard, be.Ready)),
		env("back", 13, made(be.Redirect, be.FellBack)),
		env("failed", 11, made(be.Redirect, be.Failed)),
		env("failed2", 10, made(be.Command, be.Failed)),
		env("pending", 2, made(be.Redirect, be.Ready)),
		env("stale", 3, made(be.Redirect, be.Stale)),
		env("armed", 1, armed),
	}
	want := map[string]string{
		"running":   "stays: it is the running one",
		"installer": "stays: apt-be did not create it automatically",
		"mine":      "stays: apt-be did not create it automatically",
		"kept":      "stays: it is marked as kept",
		"mounted":   "stays: it is mounted or in use",
		"oldest":    "goes: older than the newest 2",
		"older":     "goes: older than the newest 2",
		"guard":     "stays: one of the newest 2",
		"back":      "stays: one of the newest 2",
		"failed":    "goes: a newer failed environment is kept for examination",
		"failed2":   "stays: its upgrade failed; the newest failed environment is kept for examination",
		"pending":   "stays: it has not been booted yet",
		"stale":     "goes: it lacks later package changes of the running system",
		"armed":     "stays: the next boot tries it; `apt-be deactivate` cancels that",
	}
	fates := be.Prune(envs, 2, func(e be.Env) bool { return e.Name == "mounted" })
	if len(fates) != len(envs) {
		t.Fatalf("%d environments have a fate, want %d", len(fates), len(envs))
	}
	for i, fate := range fates {
		got := map[bool]string{true: "goes: ", false: "stays: "}[fate.Destroy] + fate.Reason
		if got != want[fate.Env.Name] {
			t.Errorf("%s %s, want %s", fate.Env.Name, got, want[fate.Env.Name])
		}
		if i > 0 && fate.Env.Record.Created.Before(fates[i-1].Env.Record.Created) {
			t.Errorf("%s comes after a younger one", fate.Env.Name)
		}
	}
	if envs[0].Name != "running" {
		t.Error("Prune changed its argument")
	}
}

// If all healthy environments may be pruned, one of them is kept.
func TestPruneKeepsOneHealthy(t *testing.T) {
	blessed := func(e *be.Env) { e.Record.CreatedBy, e.Record.State = be.Redirect, be.Blessed }
	envs := []be.Env{
		env("trying", 0, func(e *be.Env) { e.Running, e.Record.State = true, be.Trying }),
		env("a", 3, blessed), env("b", 2, blessed), env("c", 1, blessed),
	}
	stay := map[string]bool{}
	for _, fate := range be.Prune(envs, 0, free) {
		stay[fate.Env.Name] = !fate.Destroy
	}
	if !stay["trying"] || !stay["a"] || stay["b"] || stay["c"] {
		t.Errorf("those that stay are %v, want trying and one that is healthy", stay)
	}
}

func TestFlags(t *testing.T) {
	for want, change := range map[string]func(*be.Env){
		"":     nil,
		"N":    func(e *be.Env) { e.Running = true },
		"NRBK": func(e *be.Env) { e.Running, e.Next, e.Record.State, e.Record.Kept = true, true, be.Blessed, true },
		"T":    armed,
		"TB":   func(e *be.Env) { e.Armed, e.Record.State = true, be.Blessed },
		"NB":   func(e *be.Env) { e.Running, e.Record.State = true, be.Blessed },
		"NT":   func(e *be.Env) { e.Running, e.Record.State = true, be.Trying },
		"F":    func(e *be.Env) { e.Record.State = be.FellBack },
		"KF":   func(e *be.Env) { e.Record.State, e.Record.Kept = be.Failed, true },
	} {
		if got := env("x", 0, change).Flags(); got != want {
			t.Errorf("Flags = %q, want %q", got, want)
		}
	}
}

func TestBootableAndPending(t *testing.T) {
	kernels := []be.Kernel{{Version: "6.1"}}
	for _, tt := range []struct {
		state             be.State
		made              be.Creator
		kernels           []be.Kernel
		running           bool
		bootable, pending bool
	}{
		{be.Ready, be.Redirect, kernels, false, true, true},
		{be.Ready, be.Command, nil, false, false, true},
		{be.Ready, be.User, kernels, false, true, false},
		{be.Ready, be.Guard, kernels, false, true, false},
		{be.Ready, be.Redirect, kernels, true, true, false},
		{be.Blessed, be.Redirect, kernels, false, true, false},
		{be.Stale, be.Redirect, kernels, false, true, false},
		{be.Failed, be.Redirect, kernels, false, false, false},
		{be.Creating, be.Redirect, kernels, false, false, false},
	} {
		e := be.Env{Running: tt.running, Record: be.Record{State: tt.state, CreatedBy: tt.made, Kernels: tt.kernels}}
		if e.Bootable() != tt.bootable || e.Pending() != tt.pending {
			t.Errorf("%s made by %s: bootable %v, pending %v, want %v, %v", tt.state, tt.made, e.Bootable(), e.Pending(), tt.bootable, tt.pending)
		}
	}
	for state, made := range map[be.State]be.Creator{be.Ready: be.User, be.Blessed: be.Installer, be.Stale: be.Redirect} {
		e := env("x", 0, func(e *be.Env) { e.Record = be.Record{State: state, CreatedBy: made}; e.Armed = true })
		if e.ShownState() != be.Armed || e.Pending() {
			t.Errorf("%s made by %s and armed is shown as %s, pending %v, want armed, false", state, made, e.ShownState(), e.Pending())
		}
		if e.Running = true; e.ShownState() != state {
			t.Errorf("%s that is armed and runs is shown as %s", state, e.ShownState())
		}
	}
	upgraded := be.Env{Armed: true, Record: be.Record{State: be.Ready, CreatedBy: be.Redirect}}
	if !upgraded.Pending() {
		t.Error("an upgraded one is not pending once it is armed")
	}
	if total := (be.Changes{Upgraded: 1, Downgraded: 2, Added: 3, Removed: 4}).Total(); total != 10 {
		t.Errorf("Total = %d, want 10", total)
	}
}
