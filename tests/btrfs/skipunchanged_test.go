package btrfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// To add a way to run dpkg, add a line to skippers: the function that installs it in a
// root (nil if none is needed), the command to run instead of "dpkg", and whether it
// shares unchanged files. Every case of skipCases then runs with it, on both releases.
// To run one release, one variant, and one case:
//
//	go test ./tests/btrfs -run '^TestSkipUnchanged$/^stable$/hard_links/^patched$' -v

// skipper is a way to run dpkg.
type skipper struct {
	name    string
	install func(t *testing.T, release string, m *machine.Machine)
	command []string // "dpkg" and its options
	shares  bool     // the new file takes the old one's place on disk
	// sharesPrefix: the unchanged beginning of a changed file is shared, too.
	sharesPrefix bool
}

// skippers are the variants. Each is compared with stock dpkg, which runs in every
// case.
func skippers() []skipper {
	if !*nightly {
		return []skipper{preloaded} // to build the other from dpkg's source takes minutes
	}
	return []skipper{
		{name: "patched", install: installPatched, command: []string{"/usr/lib/dpkg-skip-unchanged/dpkg", "--skip-unchanged"}, shares: true},
		{name: "patched but off", command: []string{"/usr/lib/dpkg-skip-unchanged/dpkg"}},
		preloaded,
	}
}

// stockDpkg is the variant that the others are compared with.
var stockDpkg = skipper{name: "stock", command: []string{"dpkg"}}

// The subvolumes of these tests.
const (
	skipBase     = "@base"     // with all variants installed
	skipPrepared = "@prepared" // before dpkg runs
	skipRun      = "@run"      // after it
)

// skipDebs is the directory of the packages in the root.
const skipDebs = "/srv/debs"

// TestSkipUnchanged installs packages over each other, in all cases that matter for a
// dpkg that does not write unchanged files. The result must equal the result of stock
// dpkg, except for the location of the data on the disk.
func TestSkipUnchanged(t *testing.T) {
	for _, release := range []string{"oldstable", "stable"} {
		t.Run(release, func(t *testing.T) {
			image := machine.NewImage(t, release, skipBase)
			variants := skippers()
			m := image.Boot(t, skipBase)
			for _, variant := range variants {
				if variant.install != nil {
					variant.install(t, release, m)
				}
			}
			m.Stop(t)
			if *nightly {
				t.Run("run", func(t *testing.T) { testSkipRun(t, image) })
			}
			for _, c := range append(skipCases(), skipConffileCases()...) {
				t.Run(c.name, func(t *testing.T) { c.run(t, image, variants) })
			}
			for _, variant := range append(variants, stockDpkg) {
				t.Run("full disk/"+variant.name, func(t *testing.T) { testSkipFullDisk(t, image, variant) })
				t.Run("race/"+variant.name, func(t *testing.T) { testSkipRace(t, image, variant) })
			}
		})
	}
}

// installPatched builds the patched dpkg's package and installs it.
func installPatched(t *testing.T, release string, m *machine.Machine) {
	t.Helper()
	file := filepath.Join(m.Image.Project(), projectOutput(t, m.Image.Project(), "dpkgpatch/build", release))
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteFile(t, "/srv/patched.deb", string(content))
	m.Shell(t, "dpkg -i /srv/patched.deb && rm /srv/patched.deb")
}

// run prepares the case once. Each variant then installs the new package on a snapshot
// of the prepared root.
func (c skipCase) run(t *testing.T, image *machine.Image, variants []skipper) {
	defer image.Clear(t, skipBase)
	m := image.Start(t, skipBase, skipPrepared)
	m.Shell(t, "mkdir "+skipDebs)
	debs := m.Path(skipDebs)
	for _, installed := range append(c.others, c.before) {
		m.Shell(t, "dpkg -i "+filepath.Join(skipDebs, writeDeb(t, installed, debs)))
	}
	if c.prepare != nil {
		c.prepare(t, m.Path(""))
	}
	if c.script != "" {
		m.Shell(t, c.script)
	}
	file := writeDeb(t, c.after, debs)
	if c.cut > 0 {
		if err := os.Truncate(filepath.Join(debs, file), c.cut); err != nil {
			t.Fatal(err)
		}
	}
	m.Stop(t)
	want := c.install(t, image, stockDpkg, file)
	for _, variant := range variants {
		t.Run(variant.name, func(t *testing.T) {
			got := c.install(t, image, variant, file)
			if diff := want.diff(got); diff != "" {
				t.Errorf("(-stock +%s)\n%s", variant.name, diff)
			}
		})
	}
}

// install installs the new package by one variant, checks which data is shared with the
// old files, and returns the rest of the visible result.
func (c skipCase) install(t *testing.T, image *machine.Image, variant skipper, file string) skipTree {
	t.Helper()
	m := image.Start(t, skipPrepared, skipRun)
	args := append(append([]string{}, variant.command...), c.options...)
	result := m.Run(t, machine.Command{Args: append(args, "-i", filepath.Join(skipDebs, file))})
	if failed := result.Status != 0; failed != c.fails {
		t.Errorf("%s: status %d:\n%s", variant.name, result.Status, result.Output)
	}
	database := m.Shell(t, "dpkg-query -W -f '${Package} ${Version} ${Status}\\n${Conffiles}\\n' 'skip*'; dpkg --audit; dpkg --verify 'skip*' || true")
	m.Stop(t)
	for name, was := range c.unchanged {
		if shared := sharedData(t, image.Path(skipPrepared+was), image.Path(skipRun+name)); shared != variant.shares {
			t.Errorf("%s: %s and the old %s share their data: %v", variant.name, name, was, shared)
		}
	}
	for _, name := range c.changed {
		if !variant.sharesPrefix && sharedData(t, image.Path(skipPrepared+name), image.Path(skipRun+name)) {
			t.Errorf("%s: %s shares its data with the old one", variant.name, name)
		}
	}
	tree := describeSkipTree(t, image.Path(skipRun))
	tree["(database)"] = database
	image.Delete(t, skipRun)
	return tree
}

// skipTree maps the names of files to their descriptions.
type skipTree map[string]string

// diff describes the differences to another tree; it is "" if there are none.
func (s skipTree) diff(other skipTree) string {
	var lines []string
	for name, was := range s {
		if is, there := other[name]; is != was {
			lines = append(lines, fmt.Sprintf("%s\n  - %s", name, was))
			if there {
				lines[len(lines)-1] += "\n  + " + is
			}
		}
	}
	for name, is := range other {
		if _, there := s[name]; !there {
			lines = append(lines, fmt.Sprintf("%s\n  + %s", name, is))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
