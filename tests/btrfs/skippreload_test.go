package btrfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// preloaded is the release's own dpkg with the library dpkgpatch/preload.
var preloaded = skipper{name: "preloaded", install: installPreload, command: []string{"/usr/lib/apt-be/sandbox/bin/skip-unchanged"}, shares: true, sharesPrefix: true}

// installPreload builds the library and installs it in a root.
func installPreload(t *testing.T, _ string, m *machine.Machine) {
	t.Helper()
	out := t.TempDir()
	command := exec.Command("make", "-s", "-C", "dpkgpatch/preload", "OUT="+out)
	command.Dir, command.Stderr = m.Image.Project(), os.Stderr
	if err := command.Run(); err != nil {
		t.Fatalf("cannot build dpkgpatch/preload: %v", err)
	}
	m.Shell(t, "mkdir -p /usr/lib/apt-be/sandbox/bin")
	for name, mode := range map[string]string{"skip-unchanged.so": "644", "skip-unchanged": "755"} {
		content, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		file := "/usr/lib/apt-be/sandbox/bin/" + name
		m.WriteFile(t, file, string(content))
		m.Shell(t, "chmod "+mode+" "+file)
	}
	// With a dpkg whose calls the library does not know, the library does nothing.
	const active = "skip-unchanged: active"
	if said := m.Shell(t, "SKIP_UNCHANGED_VERBOSE=1 /usr/lib/apt-be/sandbox/bin/skip-unchanged --version 2>&1"); !strings.Contains(said, active) {
		t.Errorf("this release's dpkg is not understood:\n%s", said)
	}
}
