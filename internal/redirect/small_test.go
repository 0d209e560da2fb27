package redirect

import (
	"slices"
	"testing"

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

func TestEnvironment(t *testing.T) {
	const standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, tt := range []struct{ env, want []string }{
		{nil, []string{"PATH=/run/apt-be/bin:" + standard, "NEEDRESTART_SUSPEND=1"}},
		{
			[]string{"LANG=de_DE", "PATH=/opt/bin", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=", "XPATH=/x"},
			[]string{"LANG=de_DE", "DEBIAN_FRONTEND=noninteractive", "XPATH=/x", "PATH=/run/apt-be/bin:/opt/bin", "NEEDRESTART_SUSPEND=1"},
		},
	} {
		if got := environment(tt.env); !slices.Equal(got, tt.want) {
			t.Errorf("environment(%q) = %q, want %q", tt.env, got, tt.want)
		}
	}
}

func TestReplaces(t *testing.T) {
	made := func(name string, maker be.Maker, state be.State, change func(*be.Record)) be.Env {
		e := be.Env{Name: name, Record: be.Record{Made: maker, State: state, OriginUUID: "running"}}
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
		{"one that somebody worked in", ready, made("old", be.Redirect, be.Ready, func(r *be.Record) { r.Touched = true }), false},
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
