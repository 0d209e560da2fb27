package health

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
)

// service returns an enabled and running service, with some properties changed.
func service(name string, changed unit) unit {
	u := unit{
		"Id": name, "Names": name, "LoadState": "loaded", "ActiveState": "active", "Type": "simple",
		"UnitFileState": "enabled", "Transient": "no", "ConditionResult": "yes", "Result": "success",
		"ConditionTimestampMonotonic": "99", "ActiveEnterTimestampMonotonic": "100",
		"InactiveExitTimestampMonotonic": "100", "WantedBy": "multi-user.target",
	}
	maps.Copy(u, changed)
	return u
}

// Changed properties of a unit.
var (
	failed   = unit{"ActiveState": "failed", "Result": "exit-code"}
	starting = unit{"ActiveState": "activating"}
	ended    = unit{"ActiveState": "inactive"}
	neverRan = unit{"ActiveState": "inactive", "ActiveEnterTimestampMonotonic": "0", "InactiveExitTimestampMonotonic": "0"}
)

func with(change, more unit) unit {
	change = maps.Clone(change)
	maps.Copy(change, more)
	return change
}

func TestParse(t *testing.T) {
	units := parse("Id=ssh.service\nNames=sshd.service ssh.service\nDescription=a=b\n\nId=a.mount\nWhere=/a\n\n\nFoo=bar\n")
	if len(units) != 2 || units[0].id() != "ssh.service" || units[0]["Description"] != "a=b" || units[1].id() != "a.mount" {
		t.Errorf("got %v", units)
	}
	if parse("") != nil {
		t.Error("nothing is something")
	}
}

func TestCurrent(t *testing.T) {
	got := current([]unit{
		service("ssh.service", nil),
		service("cron.service", nil),
		service("b.service", failed),
		service("a.mount", failed),
		service("srv.mount", nil),
		service("once.service", unit{"Type": "oneshot"}),
		service("getty@tty1.service", nil),
		service("user@0.service", unit{"UnitFileState": "static"}),
		service("on-demand.service", unit{"UnitFileState": "static", "WantedBy": ""}),
		service("run-r1.service", unit{"UnitFileState": "transient", "Transient": "yes"}),
		service("by-hand.service", unit{"UnitFileState": "disabled"}),
		service("postgresql@15-main.service", unit{"UnitFileState": "enabled-runtime"}),
	})
	if want := []string{"cron.service", "postgresql@15-main.service", "ssh.service"}; !slices.Equal(got.Active, want) {
		t.Errorf("active are %q, want %q", got.Active, want)
	}
	if want := []string{"a.mount", "b.service"}; !slices.Equal(got.Failed, want) {
		t.Errorf("failed have %q, want %q", got.Failed, want)
	}
}

func TestCompare(t *testing.T) {
	before := be.Units{Active: []string{"ssh.service", "cups.service"}, Failed: []string{"old.service", "dead.mount"}}
	for name, tt := range map[string]struct {
		unit    unit
		fault   string
		pending bool
	}{
		"runs":                     {unit: service("ssh.service", nil)},
		"reloads":                  {unit: service("ssh.service", unit{"ActiveState": "reloading"})},
		"failed":                   {unit: service("ssh.service", failed), fault: "ssh.service failed (it was active before)"},
		"no swap file":             {unit: service("swap-file.swap", with(failed, unit{"What": "/nowhere/file"}))},
		"a bad swap file":          {unit: service("swap-file.swap", with(failed, unit{"What": "/proc/self/exe"})), fault: "swap-file.swap failed"},
		"failed under a new name":  {unit: service("openssh.service", with(failed, unit{"Names": "openssh.service ssh.service"})), fault: "openssh.service failed (it was active before)"},
		"never started":            {unit: service("ssh.service", neverRan), fault: "ssh.service is not active (it was active before)"},
		"ended":                    {unit: service("ssh.service", ended), fault: "ssh.service is not active (it was active before)"},
		"starts":                   {unit: service("ssh.service", starting), pending: true},
		"will start":               {unit: service("ssh.service", with(neverRan, unit{"Job": "17"})), pending: true},
		"waits for the checks":     {unit: service("ssh.service", with(neverRan, unit{"Job": "17", "After": "sysinit.target boot-complete.target"}))},
		"condition":                {unit: service("ssh.service", with(neverRan, unit{"ConditionResult": "no"}))},
		"condition not checked":    {unit: service("ssh.service", with(neverRan, unit{"ConditionResult": "no", "ConditionTimestampMonotonic": "0"})), fault: "ssh.service is not active (it was active before)"},
		"disabled":                 {unit: service("ssh.service", with(neverRan, unit{"UnitFileState": "disabled"}))},
		"masked":                   {unit: service("ssh.service", with(neverRan, unit{"LoadState": "masked", "UnitFileState": "masked"}))},
		"gone":                     {unit: unit{"Id": "ssh.service", "Names": "ssh.service", "LoadState": "not-found", "ActiveState": "inactive"}},
		"idle":                     {unit: service("cups.service", with(ended, unit{"TriggeredBy": "cups.socket cups.path"}))},
		"never started for socket": {unit: service("cups.service", with(neverRan, unit{"TriggeredBy": "cups.socket"})), fault: "cups.service is not active (it was active before)"},
		"new, runs":                {unit: service("new.service", nil)},
		"new, inactive":            {unit: service("new.service", neverRan)},
		"new, starts":              {unit: service("new.service", starting)},
		"new, failed":              {unit: service("new.service", failed), fault: "new.service failed"},
		"new, failed, oneshot":     {unit: service("nftables.service", with(failed, unit{"Type": "oneshot"})), fault: "nftables.service failed"},
		"new, failed, mount":       {unit: service("srv.mount", with(failed, unit{"UnitFileState": "generated", "WantedBy": "", "RequiredBy": "local-fs.target"})), fault: "srv.mount failed"},
		"new, failed, by a timer":  {unit: service("fwupd-refresh.service", with(failed, unit{"TriggeredBy": "fwupd-refresh.timer"}))},
		"new, failed, by hand":     {unit: service("x.service", with(failed, unit{"WantedBy": "", "UnitFileState": "static"}))},
		"new, failed, a user's":    {unit: service("user@1000.service", with(failed, unit{"UnitFileState": "static"}))},
		"failed before":            {unit: service("old.service", failed)},
		"failed before, starts":    {unit: service("old.service", starting)},
	} {
		t.Run(name, func(t *testing.T) {
			v := compare(before, []unit{tt.unit, tt.unit})
			if got := strings.Join(v.faults, "; "); got != tt.fault {
				t.Errorf("fault %q, want %q", got, tt.fault)
			}
			if got := len(v.pending) == 1; got != tt.pending {
				t.Errorf("pending %q, want %v", v.pending, tt.pending)
			}
		})
	}
}

// scripted returns a watcher that sees these systems in order, one per second, the last
// one for ever.
func scripted(systems ...[]unit) (w watcher, looks *int) {
	clock := time.Unix(0, 0)
	looks = new(int)
	return watcher{
		look: func(context.Context) ([]unit, error) {
			*looks++
			return systems[min(*looks, len(systems))-1], nil
		},
		now:   func() time.Time { return clock },
		sleep: func(_ context.Context, d time.Duration) error { clock = clock.Add(d); return nil },
	}, looks
}

func TestWatch(t *testing.T) {
	before := be.Units{Active: []string{"ssh.service"}}
	up := []unit{service("ssh.service", nil)}
	down := []unit{service("ssh.service", failed)}
	coming := []unit{service("ssh.service", starting)}
	again := []unit{service("ssh.service", unit{"ActiveEnterTimestampMonotonic": "200"})}
	var loop [][]unit
	for range 100 {
		loop = append(loop, up, again)
	}
	for name, tt := range map[string]struct {
		systems [][]unit
		looks   int
		fault   string
	}{
		"well":             {[][]unit{up}, 6, ""},
		"slow":             {[][]unit{coming, coming, up}, 8, ""},
		"fails":            {[][]unit{down}, 6, "ssh.service failed (it was active before)"},
		"comes, and fails": {[][]unit{coming, up, up, down}, 7, "ssh.service failed (it was active before)"},
		"for ever":         {[][]unit{coming}, 91, "ssh.service does not stay active (it was active before)"},
		"again and again":  {loop, 91, "ssh.service does not stay active (it was active before)"},
		"restarted once":   {[][]unit{up, up, again}, 8, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w, looks := scripted(tt.systems...)
			err := w.watch(context.Background(), before)
			if tt.fault == "" && err != nil || tt.fault != "" && (!errors.Is(err, ErrServices) || err.Error() != tt.fault) {
				t.Errorf("got %v, want %q", err, tt.fault)
			}
			if *looks != tt.looks {
				t.Errorf("looked %d times, want %d", *looks, tt.looks)
			}
		})
	}
}

func TestLook(t *testing.T) {
	var asked []string
	units, err := look(context.Background(), func(_ context.Context, args ...string) (string, error) {
		asked = args
		return "Id=a.service\n", nil
	}, []string{"a.service"})
	if err != nil || len(units) != 1 {
		t.Errorf("got %v, %v", units, err)
	}
	if asked[0] != "show" || asked[len(asked)-1] != "a.service" {
		t.Errorf("asked %q", asked)
	}
	_, err = look(context.Background(), func(context.Context, ...string) (string, error) { return "", errors.New("no bus") }, nil)
	if err == nil || !strings.Contains(err.Error(), "no bus") {
		t.Errorf("got %v", err)
	}
}
