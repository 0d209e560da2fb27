package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/durable"
)

// TestRenameFree checks that RenameFree picks a free name if names are taken.
func TestRenameFree(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"from", "to", "to-2"} {
		if err := os.WriteFile(at(name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := durable.RenameFree(at("from"), at("to")); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"to": "to", "to-2": "to-2", "to-3": "from"} {
		if got, err := os.ReadFile(at(name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
}
