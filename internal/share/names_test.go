package share

import (
	"strings"
	"testing"
)

func TestIsName(t *testing.T) {
	for name, want := range map[string]bool{
		"mail": true, "my data": true, ".data": true, strings.Repeat("m", 63) + "-2026-12-01": true,
		"": false, ".new-1": false, "a/b": false, "..": false, ".": false,
	} {
		if got := isName(name); got != want {
			t.Errorf("isName(%q) = %v, want %v", name, got, want)
		}
	}
}
