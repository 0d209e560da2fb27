package swapfile

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// area returns the content of a swap area with some pages.
func area(t *testing.T, pages int) []byte {
	t.Helper()
	data := make([]byte, pages*os.Getpagesize())
	copy(data[1024:], "version, UUID and label")
	copy(data[os.Getpagesize()-10:], "SWAPSPACE2")
	return data
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestLike(t *testing.T) {
	dir := t.TempDir()
	old := area(t, 4)
	copy(old[3*os.Getpagesize():], "what was swapped out")
	check(t, os.WriteFile(dir+"/old", old, 0o640))
	check(t, Like(dir+"/old", dir+"/new"))
	made, err := os.ReadFile(dir + "/new")
	check(t, err)
	if !bytes.Equal(made, area(t, 4)) {
		t.Error("it is not the same without what was swapped out")
	}
	info, err := os.Stat(dir + "/new")
	check(t, err)
	if info.Mode() != 0o640 {
		t.Errorf("its mode is %v", info.Mode())
	}
	if err := Like(dir+"/old", dir+"/new"); err == nil {
		t.Error("one is made over another file")
	}
	check(t, os.WriteFile(dir+"/none", []byte("text"), 0o600))
	if err := Like(dir+"/none", dir+"/fresh"); err == nil {
		t.Error("one is made like a file that is none")
	}
	if _, err := os.Lstat(dir + "/fresh"); err == nil {
		t.Error("a part of one is left")
	}
}

func TestIn(t *testing.T) {
	for name, tt := range map[string]struct {
		make  func(dir string) error
		names []string
		only  bool
	}{
		"nothing": {func(string) error { return nil }, nil, true},
		"swap":    {func(dir string) error { return os.WriteFile(dir+"/file", area(t, 2), 0o600) }, []string{"file"}, true},
		"short":   {func(dir string) error { return os.WriteFile(dir+"/file", []byte("SWAPSPACE2"), 0o600) }, nil, false},
		"link":    {func(dir string) error { return os.Symlink("/dev/zero", dir+"/file") }, nil, false},
		"dir":     {func(dir string) error { return os.Mkdir(dir+"/dir", 0o755) }, nil, false},
		"two kind": {func(dir string) error {
			check(t, os.WriteFile(dir+"/a", area(t, 2), 0o600))
			return os.WriteFile(dir+"/b", nil, 0o600)
		}, []string{"a"}, false},
	} {
		dir := t.TempDir()
		check(t, tt.make(dir))
		names, only, err := In(dir)
		if diff := cmp.Diff(tt.names, names); diff != "" || only != tt.only || err != nil {
			t.Errorf("%s: %q, %v, %v", name, names, only, err)
		}
	}
}

func TestParse(t *testing.T) {
	files, err := parse(strings.NewReader("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n" +
		"/dev/vda2                               partition\t1048572\t\t0\t\t-2\n" +
		"/swap/a\\040file                         file\t\t1048572\t\t0\t\t-3\n"))
	if diff := cmp.Diff([]string{"/swap/a file"}, files); diff != "" || err != nil {
		t.Errorf("%v %s", err, diff)
	}
}
