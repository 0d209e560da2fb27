package watchdog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFind(t *testing.T) {
	class := t.TempDir()
	if _, err := find(class, "/dev"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without watchdogs: %v", err)
	}
	for dir, content := range map[string]string{"watchdog0": "iTCO_wdt\n", "watchdog1": "Software Watchdog\n"} {
		if err := os.Mkdir(filepath.Join(class, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(class, dir, "identity"), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := find(class, "/dev")
	if err != nil || d.node != "/dev/watchdog1" {
		t.Fatalf("found %q, %v", d.node, err)
	}
	// The kernel lacks this file, so the watchdog may be running.
	if !d.active() {
		t.Error("not active without a state")
	}
	for state, want := range map[string]bool{"inactive\n": false, "active\n": true} {
		if err := os.WriteFile(filepath.Join(d.sys, "state"), []byte(state), 0o644); err != nil {
			t.Fatal(err)
		}
		if d.active() != want {
			t.Errorf("state %q: active is %v", state, d.active())
		}
	}
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 1, 90 * time.Second: 90, 1000 * time.Hour: 65535} {
		if got := seconds(d); got != want {
			t.Errorf("seconds(%s) = %d, want %d", d, got, want)
		}
	}
}
