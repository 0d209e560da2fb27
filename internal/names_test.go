package internal_test

import (
	"os/exec"
	"strings"
	"testing"
)

// former are words of earlier names that have no other use. The glossary's table of
// former names lists their replacements.
var former = []string{
	"succession", "Heir", "Carrier", "outbox", "rebootflag", "mindEarlier", "hasten", "goon.go", "aftermath",
	"failback", "unpack-ahead", "note-change", "check-room", "ErrShort", "twist", "checkVoice", "Unproved",
}

func TestNoFormerNames(t *testing.T) {
	arguments := []string{"-C", "..", "grep", "-n", "-w", "-I"}
	for _, word := range former {
		arguments = append(arguments, "-e", word)
	}
	arguments = append(arguments, "--", ".", ":!docs/glossary.md", ":!dpkgpatch", ":!internal/names_test.go")
	out, err := exec.Command("git", arguments...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatalf("git grep: %v\n%s", err, out)
	}
	if found := strings.TrimSpace(string(out)); found != "" {
		t.Errorf("former names, see docs/glossary.md:\n%s", found)
	}
}
