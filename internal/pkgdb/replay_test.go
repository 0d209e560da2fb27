package pkgdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// replayDB returns a database with a package for each word: name=version and a mark:
// "a" automatic, "h" held, "c" removed except for its configuration.
func replayDB(words string) *DB {
	db := &DB{}
	for _, word := range strings.Fields(words) {
		name, rest, _ := strings.Cut(word, "=")
		version, mark, _ := strings.Cut(rest, ",")
		p := Package{Name: name, Arch: "amd64", Version: version, Want: "install", Flag: "ok", Status: "installed", Auto: mark == "a"}
		if mark == "h" {
			p.Want = "hold"
		}
		if mark == "c" {
			p.Want, p.Status = "deinstall", "config-files"
		}
		db.Packages = append(db.Packages, p)
	}
	return db
}

func TestMissing(t *testing.T) {
	for _, test := range []struct{ name, base, live, next, want string }{
		{"nothing", "a=1", "a=1", "a=2", "[] [] [] [] [] []"},
		{"installed", "a=1", "a=1 b=1 c=1,a", "a=2", "[b:amd64 c:amd64] [] [c:amd64] [] [] []"},
		{"installed there too", "a=1", "a=1 b=1", "a=2 b=2", "[] [] [] [] [] []"},
		{"upgraded", "a=1", "a=3", "a=2", "[a:amd64] [] [] [] [] []"},
		{"upgraded, and newer there", "a=1", "a=2", "a=3", "[] [] [] [] [] []"},
		{"upgraded, and removed there", "a=1", "a=2", "", "[] [] [] [] [] []"},
		{"removed", "a=1", "a=1,c", "a=2", "[] [a:amd64] [] [] [] []"},
		{"purged", "a=1", "", "a=2", "[] [a:amd64] [] [] [] []"},
		{"removed there too", "a=1", "a=1,c", "", "[] [] [] [] [] []"},
		{"configuration purged", "a=1,c", "", "a=2", "[] [] [] [] [] []"},
		{"marked", "a=1 b=1,a", "a=1,a b=1", "a=2 b=2,a", "[] [] [a:amd64] [b:amd64] [] []"},
		{"held", "a=1 b=1,h", "a=1,h b=1", "a=2 b=2,h", "[] [] [] [] [a:amd64] [b:amd64]"},
		{"downgraded", "a=2", "a=1", "a=3", "it was downgraded: a:amd64 1, which was 2"},
		{"downgraded there too", "a=2", "a=1", "a=1", "[] [] [] [] [] []"},
	} {
		r, err := Missing(replayDB(test.base), replayDB(test.live), replayDB(test.next))
		got := fmt.Sprint(r.Install, r.Remove, r.Auto, r.Manual, r.Hold, r.Unhold)
		if err != nil {
			got = err.Error()
		}
		if got != test.want || err != nil && !errors.Is(err, ErrDowngraded) || r.Empty() != !slices.ContainsFunc([]byte(got), isLetter) && err == nil {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }
