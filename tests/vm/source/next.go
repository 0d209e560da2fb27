package source

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/tests/control"
	"github.com/apt-be/apt-be/tests/vm/guest"
)

// NextSuffix is the end of the version of a package that [Next] has made.
const NextSuffix = "+next1"

// Next returns packages that upgrade the given ones: the same files and maintainer
// scripts with a higher version. They are kept in .cache/vm.
func Next(t guest.T, files []string) []string {
	t.Helper()
	cache := filepath.Join(here(), "..", "..", ".cache", "vm")
	dir := filepath.Join(cache, "next-"+nextKey(files))
	if _, err := os.Stat(dir); err != nil {
		work, err := os.MkdirTemp(cache, ".new.")
		if err != nil {
			t.Fatalf("cannot make packages: %v", err)
		}
		t.Cleanup(func() { os.RemoveAll(work) })
		repackAll(t, files, work)
		// Another process may have made the same packages meanwhile.
		if err := os.Rename(work, dir); err != nil && !os.IsExist(err) {
			t.Fatalf("cannot make packages: %v", err)
		}
	}
	next, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(next) != len(files) {
		t.Fatalf("there are %d packages in %s, want %d (%v): delete it", len(next), dir, len(files), err)
	}
	return next
}

// nextKey returns a hash of the packages' file names.
func nextKey(files []string) string {
	sum := sha256.New()
	for _, file := range files {
		sum.Write([]byte(filepath.Base(file) + "\n"))
	}
	sum.Write([]byte(NextSuffix))
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// repackAll writes the next versions of packages to a directory.
func repackAll(t guest.T, files []string, to string) {
	t.Helper()
	versions := map[string]string{}
	for _, file := range files {
		name, version, _ := strings.Cut(strings.TrimSpace(output(t, exec.Command("dpkg-deb", "--show", "--showformat", "${Package} ${Version}", file))), " ")
		versions[name] = version
	}
	for _, file := range files {
		tree := filepath.Join(to, "tree")
		output(t, exec.Command("dpkg-deb", "--raw-extract", file, tree))
		stanza := filepath.Join(tree, "DEBIAN/control")
		data, err := os.ReadFile(stanza)
		if err == nil {
			err = os.WriteFile(stanza, []byte(control.Next(string(data), versions, NextSuffix)), 0o644)
		}
		if err != nil {
			t.Fatalf("cannot make the next version of %s: %v", file, err)
		}
		// On an emulated processor, only the fastest compression is fast enough.
		output(t, exec.Command("dpkg-deb", "--build", "-Zzstd", "-z1", tree, filepath.Join(to, filepath.Base(file))))
		if err := os.RemoveAll(tree); err != nil {
			t.Fatalf("cannot make the next version of %s: %v", file, err)
		}
	}
}
