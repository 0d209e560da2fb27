package pkgdb

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLocalDiversions(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "var/lib/dpkg"), 0o755); err != nil {
		t.Fatal(err)
	}
	if got, err := LocalDiversions(root); err != nil || len(got) > 0 {
		t.Errorf("of a root without: %q, %v", got, err)
	}
	text := "/usr/bin/z\n/usr/bin/z.old\n:\n/usr/bin/apt-get\n/usr/bin/apt-get.distrib\napt-be\n/bin/a\n/bin/a.distrib\n:\ncut off"
	if err := os.WriteFile(filepath.Join(root, diversionsFile), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{"/bin/a to /bin/a.distrib", "/usr/bin/z to /usr/bin/z.old"}
	if got, err := LocalDiversions(root); err != nil || !slices.Equal(got, want) {
		t.Errorf("LocalDiversions = %q, %v, want %q", got, err, want)
	}
}
