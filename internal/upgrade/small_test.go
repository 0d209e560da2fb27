package upgrade

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/dpkglock"
)

func TestSummary(t *testing.T) {
	for want, changes := range map[string]be.Changes{
		"no package differs":                         {},
		"485 upgraded, 131 new, 44 removed":          {Upgraded: 485, Added: 131, Removed: 44},
		"1 upgraded, 2 downgraded, 3 new, 4 removed": {Upgraded: 1, Downgraded: 2, Added: 3, Removed: 4},
		"1 removed": {Removed: 1},
	} {
		if got := changes.Summary(); got != want {
			t.Errorf("Summary(%+v) = %q, want %q", changes, got, want)
		}
	}
}

func TestLockMessage(t *testing.T) {
	for want, busy := range map[string]dpkglock.BusyError{
		"Could not get lock /x. It is held by process 7 (dpkg)": {File: "/x", PID: 7, Command: "dpkg"},
		"Could not get lock /x. It is held by process 7":        {File: "/x", PID: 7},
		"Could not get lock /x. It is held by another process":  {File: "/x"},
	} {
		if got := lockMessage(&busy); got != want {
			t.Errorf("lockMessage(%+v) = %q, want %q", busy, got, want)
		}
	}
}

func TestReplaces(t *testing.T) {
	made := func(name string, maker be.Creator, state be.State, change func(*be.Record)) be.Env {
		e := be.Env{Name: name, Record: be.Record{CreatedBy: maker, State: state, OriginUUID: "running"}}
		if change != nil {
			change(&e.Record)
		}
		return e
	}
	ready, failed := made("new", be.Redirect, be.Ready, nil), made("new", be.Redirect, be.Failed, nil)
	explicit := made("new", be.Command, be.Ready, nil)
	for _, tt := range []struct {
		why    string
		e, old be.Env
		want   bool
	}{
		{"an upgrade anew", ready, made("old", be.Redirect, be.Ready, nil), true},
		{"one that became stale", ready, made("old", be.Redirect, be.Stale, nil), true},
		{"itself", ready, ready, false},
		{"one that is kept", ready, made("old", be.Redirect, be.Ready, func(r *be.Record) { r.Kept = true }), false},
		{"one that somebody worked in", ready, made("old", be.Redirect, be.Ready, func(r *be.Record) { r.Modified = true }), false},
		{"one of another origin", ready, made("old", be.Redirect, be.Ready, func(r *be.Record) { r.OriginUUID = "other" }), false},
		{"one in the boot menu", ready, made("old", be.Redirect, be.Armed, nil), false},
		{"one that was booted", ready, made("old", be.Redirect, be.Blessed, nil), false},
		{"one that was asked for", ready, made("old", be.Command, be.Ready, nil), false},
		{"by one that was asked for", explicit, made("old", be.Redirect, be.Ready, nil), false},
		{"a user's", ready, made("old", be.User, be.Ready, nil), false},
		{"a safety snapshot", ready, made("old", be.Guard, be.Ready, nil), false},
		{"a failed one, by one that is ready", ready, made("old", be.Redirect, be.Failed, nil), false},
		{"a failed one, by a failed one", failed, made("old", be.Command, be.Failed, nil), true},
		{"a ready one, by a failed one", failed, made("old", be.Redirect, be.Ready, nil), false},
	} {
		if got := Replaces(tt.e, tt.old); got != tt.want {
			t.Errorf("%s is replaced: %v, want %v", tt.why, got, tt.want)
		}
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{"": "nothing, and failed", "one": "one", "\n one\ntwo\n": "one"} {
		if got := firstLine([]byte(text)); got != want {
			t.Errorf("firstLine(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestOnceADay(t *testing.T) {
	dir := t.TempDir()
	var said []string
	warn := func() func(error) {
		return OnceADay(filepath.Join(dir, "run"), func(why error) { said = append(said, why.Error()) })
	}
	stamps := func(age time.Duration) {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "run/*"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no stamps: %q, %v", found, err)
		}
		for _, stamp := range found {
			if err := os.Chtimes(stamp, time.Time{}, time.Now().Add(-age)); err != nil {
				t.Fatal(err)
			}
		}
	}
	one, other := errors.New("one"), errors.New("another")
	for _, step := range []struct {
		what string
		do   func()
		want int // how many messages were printed by then
	}{
		{"at first", func() { warn()(one) }, 1},
		{"again", func() { warn()(one) }, 1},
		{"something else", func() { warn()(other) }, 2},
		{"within the day", func() { stamps(23 * time.Hour); warn()(one); warn()(other) }, 2},
		{"a day later", func() { stamps(24 * time.Hour); warn()(one) }, 3},
		{"from the future", func() { stamps(-time.Hour); warn()(one) }, 4},
		{"where no stamp can be", func() {
			if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "run"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			warn()(one)
			warn()(one)
		}, 6},
	} {
		if step.do(); len(said) != step.want {
			t.Fatalf("%s: said %q, want %d times", step.what, said, step.want)
		}
	}
}

func TestMattersToPackages(t *testing.T) {
	matters := mattersToPackages()
	for path, want := range map[string]bool{
		"apt/sources.list": true, "default/grub": true, "passwd": true, "fstab": true, "own": true,
		"adjtime": false, "resolv.conf": false, "passwd-": false, "ld.so.cache": false,
	} {
		if matters(path) != want {
			t.Errorf("that /etc/%s changed matters: %v, want %v", path, !want, want)
		}
	}
}
