package host

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIsRoot(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink("/proc/self/root", link); err != nil {
		t.Fatal(err)
	}
	for place, want := range map[string]bool{
		"/": true, "/proc/self/root": true, "/proc/self/root/": true, "/proc/self/cwd/../../../../../../../..": true, link: true,
		"/proc/thread-self/root": true, dir: false, "/nosuch": false, "/usr": false, "/proc": false,
	} {
		if got := IsRoot(place); got != want {
			t.Errorf("%s: %v, want %v", place, got, want)
		}
	}
}
