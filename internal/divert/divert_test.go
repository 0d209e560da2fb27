package divert_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/divert"
)

const (
	path   = "/usr/sbin/sendmail"
	target = "/run/apt-be/mta/sendmail"
	others = "/bin/sh\n/bin/sh.distrib\ndash\n/usr/bin/apt\n/usr/bin/apt.distrib\napt-be\n"
)

// newRoot makes a root with files by name; a link is "-> TARGET".
func newRoot(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"/usr/sbin", "/var/lib/dpkg"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		put(t, root, name, content)
	}
	return root
}

func put(t *testing.T, root, name, content string) {
	t.Helper()
	name = filepath.Join(root, name)
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	var err error
	if len(content) > 3 && content[:3] == "-> " {
		err = os.Symlink(content[3:], name)
	} else if content != "" {
		err = os.WriteFile(name, []byte(content), 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// show returns the content of a file, or "" if it does not exist.
func show(t *testing.T, root, name string) string {
	t.Helper()
	if link, err := os.Readlink(filepath.Join(root, name)); err == nil {
		return "-> " + link
	}
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// Changes by packages and scripts during the diversion are there afterwards.
func TestDiversion(t *testing.T) {
	const ours = path + "\n" + path + divert.Suffix + "\n:\n"
	for name, tt := range map[string]struct {
		before, database string            // the file, and dpkg's list
		stand            string            // the content at the file's path
		meanwhile        map[string]string // files that a package writes, "" to remove
		after, list      string
	}{
		"nothing happens":      {before: "mta", database: others, stand: "-> " + target, after: "mta", list: others},
		"a link stays a link":  {before: "-> exim4", database: others, stand: "-> " + target, after: "-> exim4", list: others},
		"no database":          {before: "mta", stand: "-> " + target, after: "mta"},
		"the package upgrades": {before: "mta 1", database: others, stand: "-> " + target, meanwhile: map[string]string{path + divert.Suffix: "mta 2"}, after: "mta 2", list: others},
		"the package goes":     {before: "mta", database: others, stand: "-> " + target, meanwhile: map[string]string{path + divert.Suffix: ""}, list: others},
		"a package comes":      {database: others, meanwhile: map[string]string{path + divert.Suffix: "mta"}, after: "mta", list: others},
		"there is none":        {database: others, list: others},
		"a script replaces it": {before: "mta", database: others, stand: "-> " + target, meanwhile: map[string]string{path: "local"}, after: "local", list: others},
		"dpkg writes its list in another order": {
			before: "mta", database: others, stand: "-> " + target,
			meanwhile: map[string]string{divert.Database: "/x\n/y\n:\n" + ours + others}, after: "mta", list: "/x\n/y\n:\n" + others,
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t, map[string]string{path: tt.before, divert.Database: tt.database})
			d, err := divert.Place(root, path, target)
			if err != nil {
				t.Fatal(err)
			}
			if got := show(t, root, divert.Database); got != tt.database+ours {
				t.Errorf("the database has\n%s", got)
			}
			if got := show(t, root, path); got != tt.stand {
				t.Errorf("in its place is %q, want %q", got, tt.stand)
			}
			for name, content := range tt.meanwhile {
				put(t, root, name, content)
			}
			if err := d.Remove(); err != nil {
				t.Fatal(err)
			}
			if got := show(t, root, divert.Database); got != tt.list {
				t.Errorf("afterwards the database has\n%s", got)
			}
			if got := show(t, root, path); got != tt.after {
				t.Errorf("afterwards the file is %q, want %q", got, tt.after)
			}
			if got := show(t, root, path+divert.Suffix); got != "" {
				t.Errorf("%q is left beside it", got)
			}
		})
	}
}

// A diversion of the administrator or a package is not changed.
func TestPlaceRefuses(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"diverted by a package": {path: "mta", divert.Database: path + "\n" + path + ".distrib\nother\n"},
		"where another went":    {path: "mta", divert.Database: "/usr/lib/x\n" + path + "\n:\n"},
		"the name is taken":     {path: "mta", path + divert.Suffix: "old", divert.Database: others},
	} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t, files)
			if _, err := divert.Place(root, path, target); !errors.Is(err, divert.ErrDiverted) {
				t.Errorf("Place = %v, want ErrDiverted", err)
			}
			for name, content := range files {
				if got := show(t, root, name); got != content {
					t.Errorf("%s is %q by now", name, got)
				}
			}
		})
	}
}

// dpkg keeps a backup of the list, which Remove also changes.
func TestRemoveFromTheListBefore(t *testing.T) {
	root := newRoot(t, map[string]string{path: "mta", divert.Database: others})
	d, err := divert.Place(root, path, target)
	if err != nil {
		t.Fatal(err)
	}
	put(t, root, divert.Database+"-old", show(t, root, divert.Database))
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{divert.Database, divert.Database + "-old"} {
		if got := show(t, root, name); got != others {
			t.Errorf("%s holds %q, want %q", name, got, others)
		}
	}
}
