package image

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestCollect(t *testing.T) {
	dir := t.TempDir()
	const (
		current = "bios-grub-0123456789ab"
		other   = "bios-grub-stable-0123456789ab"
		used    = "bios-grub-aaaaaaaaaaaa"
		stale   = "bios-grub-bbbbbbbbbbbb"
	)
	for _, name := range []string{current, current + ".installed-0123456789ab", other, used, stale,
		stale + ".installed-0123456789ab", ".new.old", ".new.young"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * abandoned)
	if err := os.Chtimes(filepath.Join(dir, ".new.old"), long, long); err != nil {
		t.Fatal(err)
	}
	if !hold(t, filepath.Join(dir, used)) {
		t.Fatal("what is there is not there")
	}
	collect(filepath.Join(dir, "bios-grub"), current)
	var left []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		left = append(left, entry.Name())
	}
	if want := []string{".new.young", current, current + ".installed-0123456789ab", used, other}; !slices.Equal(left, sorted(want)) {
		t.Errorf("there is %q, want %q", left, want)
	}
	if hold(t, filepath.Join(dir, stale)) {
		t.Error("what was deleted is there")
	}
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
