// Package packages makes small Debian packages and archives for tests. Their
// upgrades cover the ways in which an upgrade can succeed or fail.
package packages

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// deb is a package for all architectures.
type deb struct {
	name, version string
	fields        []string          // further control fields, such as "Depends: x"
	files         map[string]string // content by name; files in /etc are conffiles
	control       map[string]string // maintainer scripts and other control files
}

// file returns the name of the package's file.
func (d deb) file() string { return fmt.Sprintf("%s_%s_all.deb", d.name, d.version) }

// stanza returns the control file.
func (d deb) stanza() string {
	lines := append([]string{
		"Package: " + d.name,
		"Version: " + d.version,
		"Architecture: all",
		"Maintainer: apt-be tests <root@localhost>",
	}, d.fields...)
	lines = append(lines, "Description: test package "+d.name)
	return strings.Join(lines, "\n") + "\n"
}

// build makes the package in directory dir.
func (d deb) build(dir string) error {
	work, err := os.MkdirTemp("", "deb")
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", d.name, err)
	}
	defer os.RemoveAll(work)
	tree, file := filepath.Join(work, "tree"), filepath.Join(work, d.file())
	control := map[string]string{"control": d.stanza()}
	for name, content := range d.control {
		control[name] = content
	}
	for name, content := range d.files {
		if strings.HasPrefix(name, "/etc/") {
			control["conffiles"] += name + "\n"
		}
		if err := write(filepath.Join(tree, name), content); err != nil {
			return fmt.Errorf("cannot build %s: %w", d.name, err)
		}
	}
	for name, content := range control {
		if err := write(filepath.Join(tree, "DEBIAN", name), content); err != nil {
			return fmt.Errorf("cannot build %s: %w", d.name, err)
		}
	}
	build := exec.Command("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", tree, file)
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build %s: %w: %s", d.name, err, out)
	}
	// dpkg-deb does not write to dir itself, because dir may be a path that only this
	// process can use.
	data, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, d.file()), data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot build %s: %w", d.name, err)
	}
	return nil
}

// write makes a file and the directories above it. Scripts get execute permission.
func write(name, content string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if strings.HasPrefix(content, "#!") {
		mode = 0o755
	}
	return os.WriteFile(name, []byte(content), mode)
}
