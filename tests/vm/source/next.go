package source

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

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
		control := filepath.Join(tree, "DEBIAN/control")
		data, err := os.ReadFile(control)
		if err == nil {
			err = os.WriteFile(control, []byte(nextControl(string(data), versions)), 0o644)
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

// exactly matches the relation to exactly one version of a package.
var exactly = regexp.MustCompile(`([a-z0-9][a-z0-9+.-]*)(:[a-z0-9]+)? \(= ([^)]+)\)`)

// nextControl returns the control file of a package's next version, where
// versions has those of all packages that get a next one. Debian binds what is
// built from one source by "(= version)": such relations move on too. What a
// package provides does not: that may be of any version.
func nextControl(control string, versions map[string]string) string {
	lines := strings.SplitAfter(strings.TrimSuffix(control, "\n"), "\n")
	field := ""
	for i, line := range lines {
		if name, _, ok := strings.Cut(line, ":"); ok && line[0] != ' ' && line[0] != '\t' {
			field = name
		}
		switch field {
		case "Version":
			lines[i] = strings.TrimSuffix(line, "\n") + NextSuffix + "\n"
		case "Depends", "Pre-Depends", "Recommends", "Suggests", "Enhances", "Breaks", "Conflicts", "Replaces":
			lines[i] = exactly.ReplaceAllStringFunc(line, func(relation string) string {
				match := exactly.FindStringSubmatch(relation)
				if match[3] != versions[match[1]] {
					return relation
				}
				return strings.TrimSuffix(relation, ")") + NextSuffix + ")"
			})
		}
	}
	return strings.TrimSuffix(strings.Join(lines, ""), "\n") + "\n"
}
