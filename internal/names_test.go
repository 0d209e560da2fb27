package internal_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// former are words of earlier names that have no other use, in any case of letters. The
// glossary's table of former names lists their replacements.
var former = []string{
	"succession", "heir", "carrier", "outbox", "rebootflag", "mindEarlier", "hasten", "disguise", "goon", "aftermath",
	"failback", "failed-back", "no-way-back", "unpack-ahead", "note-change", "check-room", "ErrShort", "twist",
	"checkVoice", "Unproved", "clashes",
}

// findFormer returns the lines of tracked files of a repository that contain a former
// name as a word.
func findFormer(root string) (string, error) {
	arguments := []string{"-C", root, "grep", "-n", "-w", "-i", "-I", "-F"}
	for _, word := range former {
		arguments = append(arguments, "-e", word)
	}
	arguments = append(arguments, "--", ".", ":!docs/glossary.md", ":!internal/names_test.go")
	out, err := exec.Command("git", arguments...).CombinedOutput()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 1 {
		err = nil
	}
	return strings.TrimSpace(string(out)), err
}

func TestNoFormerNames(t *testing.T) {
	found, err := findFormer("..")
	if err != nil {
		t.Fatalf("git grep: %v\n%s", err, found)
	}
	if found != "" {
		t.Errorf("former names, see docs/glossary.md:\n%s", found)
	}
}

func TestFormerNamesAreFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good.go": "package x // theirs, heirloom\n",
		"bad.md":  "The FAILBACK of a system.\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range [][]string{{"init", "-q"}, {"add", "."}} {
		if out, err := exec.Command("git", append([]string{"-C", dir}, arguments...)...).CombinedOutput(); err != nil {
			t.Fatalf("git: %v\n%s", err, out)
		}
	}
	if found, err := findFormer(dir); err != nil || found != "bad.md:1:The FAILBACK of a system." {
		t.Errorf("found %q, %v", found, err)
	}
}
