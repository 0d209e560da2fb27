package drift

import (
	"testing"

	"github.com/apt-be/apt-be/internal/merge"
)

func TestArea(t *testing.T) {
	for name, want := range map[string]string{
		".":                     "/",
		"swapfile":              "/",
		"etc/passwd":            "/etc",
		"etc/ssh/sshd_config":   "/etc",
		"home/al/file":          "/home",
		"usr/local/bin/x":       "/usr/local",
		"var/mail/al":           "/var/mail",
		"var/lib/mysql/a/b":     "/var/lib/mysql",
		"var/lib/mysql":         "/var/lib",
		"var/spool/cron/x":      "/var/spool/cron",
		"var/log/apt/term.log":  "/var/log",
		"opt/vendor/bin/daemon": "/opt",
	} {
		if got := Area(name); got != want {
			t.Errorf("%s is in %s, want %s", name, got, want)
		}
	}
}

func TestOutcome(t *testing.T) {
	file := merge.Node{Kind: merge.Regular, Content: "x"}
	for want, c := range map[Outcome]Change{
		Refused:  {Change: merge.Change{Decision: merge.Decision{Refused: true}}},
		Skipped:  {Change: merge.Change{Target: file, Decision: merge.Decision{Conflict: "a package's"}}},
		Conflict: {Change: merge.Change{Decision: merge.Decision{Source: merge.FromRunning, KeepTarget: true}}},
		Carried:  {Change: merge.Change{Decision: merge.Decision{Source: merge.FromRunning}}},
		Merged:   {Change: merge.Change{Target: file, Decision: merge.Decision{Attributes: merge.Attributes{Mode: 1}}}},
	} {
		if got := c.Outcome(); got != want {
			t.Errorf("%+v is %s, want %s", c, got, want)
		}
	}
	c := Change{Change: merge.Change{Decision: merge.Decision{Source: merge.FromMerged}}, Conflicts: []merge.Conflict{{}}}
	if got := c.Outcome(); got != Conflict {
		t.Errorf("what is lost is %s", got)
	}
	d := Drift{Changes: []Change{{Change: merge.Change{Path: "var/mail/al", Decision: merge.Decision{Source: merge.FromRunning}}}, c}}
	d.Changes[1].Path = "etc/group"
	areas, counts := d.Areas()
	if got := d.Count().String(); got != "files: 1 carried, 1 conflict" {
		t.Errorf("in words: %q", got)
	}
	if len(areas) != 2 || areas[0] != "/etc" || counts["/etc"][Conflict] != 1 || counts["/var/mail"][Carried] != 1 {
		t.Errorf("%q, %v", areas, counts)
	}
}
