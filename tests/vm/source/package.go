package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// Package builds a package with files by absolute name. Scripts and other control files
// have the names DEBIAN/NAME. Programs are executable.
func Package(t guest.T, name, version string, files map[string]string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-be-package.")
	if err != nil {
		t.Fatalf("cannot make a package: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tree := filepath.Join(dir, "root")
	all := map[string]string{"DEBIAN/control": fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\n"+
		"Maintainer: apt-be tests <root@localhost>\nDescription: a package of a test\n", name, version)}
	for file, content := range files {
		all[file] = content
	}
	for file, content := range all {
		file = filepath.Join(tree, file)
		err := os.MkdirAll(filepath.Dir(file), 0o755)
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") || strings.HasPrefix(content, "\x7fELF") {
			mode = 0o755
		}
		if err == nil {
			err = os.WriteFile(file, []byte(content), mode)
		}
		if err != nil {
			t.Fatalf("cannot make a package: %v", err)
		}
	}
	deb := filepath.Join(dir, fmt.Sprintf("%s_%s_all.deb", name, version))
	output(t, exec.Command("dpkg-deb", "--build", "-Zzstd", "-z1", "--root-owner-group", tree, deb))
	return deb
}
