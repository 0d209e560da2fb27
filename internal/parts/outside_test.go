package parts

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckOutside(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"var/lib/dpkg/info/foo.list":       "/.\n/opt\n/opt/foo\n/opt/foo/file\n/lib/foo\n",
		"var/lib/dpkg/info/bar:amd64.list": "/.\n/opt\n/opt/bar\n/opt/data/bar\n",
		"opt/foo/file":                     "x",
		"opt/bar/.keep":                    "x",
		"opt/data/bar":                     "x",
		"usr/lib/foo":                      "x",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("usr/lib", filepath.Join(root, "lib")); err != nil {
		t.Fatal(err)
	}
	opt, data, usr := Mount{"/opt", "ext4 of /dev/sdb"}, Mount{"/opt/data", "nfs of host:/"}, Mount{"/usr", "xfs of /dev/sdc"}
	for _, tt := range []struct {
		name     string
		mounts   []Mount
		packages []string
		want     string
	}{
		{"no mounts", nil, []string{"foo"}, ""},
		{"no packages", []Mount{opt}, nil, ""},
		{"a file", []Mount{opt}, []string{"foo"}, "the files of foo in /opt (ext4 of /dev/sdb) cannot be upgraded: the mount is not in the boot environment"},
		{"another package's", []Mount{opt}, []string{"other"}, ""},
		{"a directory only", []Mount{opt, data}, []string{"bar"}, "the files of bar in /opt/data (nfs of host:/) cannot be upgraded: the mount is not in the boot environment"},
		{"both", []Mount{opt}, []string{"foo", "bar"}, "the files of bar, foo in /opt (ext4 of /dev/sdb) cannot be upgraded: the mount is not in the boot environment"},
		{"through the link of a merged /usr", []Mount{usr}, []string{"foo"}, "the files of foo in /usr (xfs of /dev/sdc) cannot be upgraded: the mount is not in the boot environment"},
		{"a name that begins alike", []Mount{{"/op", "x"}}, []string{"foo"}, ""},
	} {
		got, err := "", CheckOutside(root, tt.mounts, tt.packages)
		if err != nil {
			if got = err.Error(); !errors.Is(err, ErrOutside) {
				t.Errorf("%s: %v is not ErrOutside", tt.name, err)
			}
		}
		if got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
