package rebootrequired_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/rebootrequired"
)

// Clear removes apt-be's part of the flag, whatever the flag contained before and
// since. The parts of other programs stay.
func TestClear(t *testing.T) {
	const flag, packages = "reboot-required", "reboot-required.pkgs"
	type files map[string]string
	for name, tt := range map[string]struct {
		before, meanwhile, after files
	}{
		"alone":                     {},
		"others asked before":       {before: files{flag: "theirs\n", packages: "dbus\n"}, after: files{flag: "theirs\n", packages: "dbus\n"}},
		"others asked meanwhile":    {meanwhile: files{flag: rebootrequired.Text, packages: "linux\nlinux\nlibc6\n"}, after: files{flag: rebootrequired.Text, packages: "linux\n"}},
		"others only add a package": {meanwhile: files{packages: "linux\nlibc6\ndbus\n"}, after: files{flag: rebootrequired.Text, packages: "dbus\n"}},
		"others only write the flag": {
			meanwhile: files{flag: "theirs\n"}, after: files{flag: "theirs\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := rebootrequired.Flag{Dir: t.TempDir()}
			write := func(content files) {
				for name, text := range content {
					if err := os.WriteFile(filepath.Join(f.Dir, name), []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
				}
			}
			want := func(when string, content files) {
				t.Helper()
				for _, name := range []string{flag, packages} {
					data, err := os.ReadFile(filepath.Join(f.Dir, name))
					if err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					if string(data) != content[name] {
						t.Errorf("%s: %s has %q, want %q", when, name, data, content[name])
					}
				}
			}
			write(tt.before)
			// Set replaces the packages of an earlier environment.
			for _, packages := range [][]string{{"dbus"}, {"linux", "libc6"}} {
				if err := f.Set(packages); err != nil {
					t.Fatal(err)
				}
			}
			if !f.SetByUs() {
				t.Error("it is not raised")
			}
			raised := files{flag: rebootrequired.Text, packages: tt.before[packages] + "linux\nlibc6\n"}
			if tt.before[flag] != "" {
				raised[flag] = tt.before[flag]
			}
			want("raised", raised)
			write(tt.meanwhile)
			for range 2 {
				if err := f.Clear(); err != nil {
					t.Fatal(err)
				}
			}
			want("withdrawn", tt.after)
			if f.SetByUs() {
				t.Error("it is still raised")
			}
			left, err := filepath.Glob(filepath.Join(f.Dir, ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left over: %q, %v", left, err)
			}
		})
	}
}

// If apt-be has not set the flag, Clear changes nothing.
func TestClearUnset(t *testing.T) {
	f := rebootrequired.Flag{Dir: t.TempDir()}
	theirs := filepath.Join(f.Dir, "reboot-required")
	if err := os.WriteFile(theirs, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := f.Clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(theirs); err != nil {
		t.Error(err)
	}
}
