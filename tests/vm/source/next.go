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

// NextSuffix is what ends the version of a package that [Next] has made.
const NextSuffix = "+next1"

// Next returns package files that upgrade those given: the same files and
// maintainer scripts under a higher version. They are kept under .cache/vm.
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
		// Whoever else has made it meanwhile has made the same.
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

// nextKey is a hash of which packages there are, by the names of their files.
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
		// An emulated processor is slow enough with the fastest compression.
		output(t, exec.Command("dpkg-deb", "--build", "-Zzstd", "-z1", tree, filepath.Join(to, filepath.Base(file))))
		if err := os.RemoveAll(tree); err != nil {
			t.Fatalf("cannot make the next version of %s: %v", file, err)
		}
	}
}
