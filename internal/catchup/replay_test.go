package catchup

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

func TestReplaySteps(t *testing.T) {
	for want, todo := range map[string]pkgdb.Replay{
		"":                                       {},
		"apt-get update!; apt-get -y install a;": {Install: []string{"a"}},
		"apt-get -y install b-;":                 {Remove: []string{"b"}},
		"apt-get update!; apt-get -y install a b-; apt-mark auto a; apt-mark hold c;": {
			Install: []string{"a"}, Remove: []string{"b"}, Auto: []string{"a"}, Hold: []string{"c"},
		},
		"apt-mark manual a; apt-mark unhold c;": {Manual: []string{"a"}, Unhold: []string{"c"}},
	} {
		var got []string
		for _, step := range replaySteps("/usr/bin/apt-get", todo) {
			said := strings.Join(step.argv, " ")
			if step.optional {
				said += "!"
			}
			got = append(got, said+";")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("of %+v become %q, want %q", todo, got, want)
		}
	}
}

// A replay must not remove further packages.
func TestCheckRemoved(t *testing.T) {
	db := func(names string) *pkgdb.DB {
		found := &pkgdb.DB{}
		for _, name := range strings.Fields(names) {
			found.Packages = append(found.Packages, pkgdb.Package{Name: name, Arch: "all", Version: "1", Want: "install", Flag: "ok", Status: "installed"})
		}
		return found
	}
	todo := pkgdb.Replay{Install: []string{"new"}, Remove: []string{"old"}}
	if err := checkRemoved(db("a old"), db("a new"), todo); err != nil {
		t.Error(err)
	}
	if err := checkRemoved(db("a old"), db("new"), todo); !errors.Is(err, ErrReplay) || !strings.Contains(fmt.Sprint(err), "a would be removed") {
		t.Errorf("checkRemoved: %v", err)
	}
}

func TestConcerns(t *testing.T) {
	carried := func(path string) *drift.Drift {
		return &drift.Drift{Changes: []drift.Change{{Change: merge.Change{Path: path, Decision: merge.Decision{Source: merge.FromRunning}}}}}
	}
	for path, want := range map[string]bool{"usr/local/lib/libx.so": true, "etc/ld.so.conf": true, "usr/local/libexec/x": false} {
		if got := quick[0].concerns(carried(path)); got != want {
			t.Errorf("/%s concerns %s: %v", path, quick[0].command, got)
		}
	}
	if !NeedsInitramfs(carried("etc/crypttab")) || NeedsInitramfs(carried("etc/hosts")) {
		t.Error("what the initramfs is made from is something else")
	}
	left := &drift.Drift{Changes: []drift.Change{{Change: merge.Change{Path: "etc/crypttab", Decision: merge.Decision{Conflict: "both"}}}}}
	if NeedsInitramfs(left) {
		t.Error("what stays behind is in no initramfs")
	}
}
