package pkgdb

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestReadFiles(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"var/lib/dpkg/info/a.list":            "/.\n/etc\n/etc/a.conf\n/bin\n/bin/a\n/lib64x/y\n/var/lib/a\n/var/lib/a/link\n/var/lib/a/d/f\n/loop/f\n/out/f\n/top/srv/f\n",
		"var/lib/dpkg/info/b:amd64.list":      "/.\n/opt/with space\n",
		"var/lib/dpkg/info/b:amd64.conffiles": "/etc/none\n",
		"var/lib/dpkg/status": `Package: a
Conffiles:
 /etc/a.conf d41d8cd98f00b204e9800998ecf8427e
 /etc/old.conf d41d8cd98f00b204e9800998ecf8427e obsolete
 /etc/going.conf d41d8cd98f00b204e9800998ecf8427e remove-on-upgrade
 /etc/with space d41d8cd98f00b204e9800998ecf8427e
 /lib/a.conf newconffile
Description: x
 /etc/no.conf d41d8cd98f00b204e9800998ecf8427e

Package: b
`,
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{
		"bin": "usr/bin", "lib": "usr/lib", "var/lib/a": "/srv/a", "srv": "data/srv", "loop": "loop", "out": "../..", "top": "/",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadFiles(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{".", "data/srv/a/d/f", "data/srv/a/link", "data/srv/f", "etc", "etc/a.conf", "f", "lib64x/y", "loop/f", "opt/with space", "usr/bin", "usr/bin/a", "var/lib/a"}
	if names := slices.Sorted(maps.Keys(got.Packaged)); !slices.Equal(names, want) {
		t.Errorf("packages have %q, want %q", names, want)
	}
	want = []string{"etc/a.conf", "etc/going.conf", "etc/old.conf", "etc/with space", "usr/lib/a.conf"}
	if names := slices.Sorted(maps.Keys(got.Conffiles)); !slices.Equal(names, want) {
		t.Errorf("conffiles are %q, want %q", names, want)
	}
	if got, err := ReadFiles(t.TempDir()); err != nil || len(got.Packaged) > 0 {
		t.Errorf("in an empty root: %v, %v", got, err)
	}
}
