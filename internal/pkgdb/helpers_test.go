package pkgdb

import (
	"os"
	"path/filepath"
	"testing"
)

// makeRoot creates a root directory with files and their contents.
func makeRoot(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func paragraph(name, arch, version, status string) string {
	return "Package: " + name + "\nStatus: " + status + "\nArchitecture: " + arch + "\nVersion: " + version +
		"\nDescription: something\n with a second line\n .\n and: a third\n\n"
}

// namesOf returns packages as "name:arch".
func namesOf(packages []Package) []string {
	names := []string{}
	for _, p := range packages {
		names = append(names, p.Name+":"+p.Arch)
	}
	return names
}
