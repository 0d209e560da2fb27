package be_test

import (
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"a", "0", "2026-11-20", "2026-11-20.2", "A_b.c+d-e", "x..", "a-", strings.Repeat("x", 63),
	} {
		if err := be.CheckName(name); err != nil {
			t.Errorf("CheckName(%q) = %v, want nil", name, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".new-1", "-a", "_a", "+a", "a/b", "/a", "a b", "a\n", "\na", "a\x00", "ä", "a,b", "a:b",
		"a'b", `a"b`, "$a", "a=b", "@be", strings.Repeat("x", 64),
	} {
		checkIs(t, "CheckName of "+name, be.CheckName(name), be.ErrBadName)
	}
}

func TestAutoName(t *testing.T) {
	for _, tt := range []struct {
		taken []string
		want  string
	}{
		{nil, "2026-11-20"},
		{[]string{"2026-11-19", "2026-11-20.2"}, "2026-11-20"},
		{[]string{"2026-11-20"}, "2026-11-20.2"},
		{[]string{"2026-11-20", "2026-11-20.2", "2026-11-20.3", "2026-11-20.5"}, "2026-11-20.4"},
	} {
		taken := map[string]bool{}
		for _, name := range tt.taken {
			taken[name] = true
		}
		got := be.AutoName(time.Date(2026, 11, 20, 23, 59, 0, 0, time.Local), func(name string) bool { return taken[name] })
		if got != tt.want || be.CheckName(got) != nil {
			t.Errorf("AutoName with %q = %q, want %q", tt.taken, got, tt.want)
		}
	}
}
