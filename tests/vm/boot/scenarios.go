package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/living"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// scenario describes the virtual machine that a test of tests/vm starts with.
type scenario struct {
	test    string   // the test's name, without "Test"
	recipes []string // of its disks; the first is the default
	plain   bool     // without apt-be init
	kernel  bool     // its APT archive has a new kernel
	script  string   // runs in the machine
	living  bool     // it has databases and mail, and writers
}

// scenarios has one entry for each test of tests/vm.
var scenarios = []scenario{
	{test: "FullDisk", recipes: []string{image.BIOSGRUB, image.UEFISDBoot}},
	{test: "Hostile", recipes: []string{image.BIOSGRUB}},
	{test: "Layouts", recipes: []string{image.BIOSGRUB, image.UEFIGRUB, image.UEFISDBoot, image.BIOSBootExt4}, plain: true},
	{test: "Living", recipes: []string{image.BIOSGRUB, image.BIOSGRUBStable}, living: true},
	{test: "Methods", recipes: []string{image.BIOSGRUBStable}},
	{test: "Nights", recipes: []string{image.BIOSGRUB}},
	{test: "PowerCut", recipes: []string{image.BIOSGRUB, image.BIOSBootExt4}, script: "apt-be create new"},
	{test: "ReadyIsOnDisk", recipes: []string{image.BIOSGRUB}, kernel: true},
	{test: "Sabotage", recipes: []string{image.UEFIGRUB, image.BIOSGRUB}},
	{test: "Upgrade", recipes: []string{image.BIOSGRUB, image.BIOSBootExt4}, kernel: true},
	{test: "UsrSubvolume", recipes: []string{image.BIOSGRUBUsr}, kernel: true},
}

// find returns the scenario with a name and its recipe. The name is that of the test
// and of its subtest: TestUpgrade/bios-grub. "Test", the recipe and the case of
// letters are optional: upgrade.
func find(name string) (scenario, string, error) {
	test, recipe, given := strings.Cut(name, "/")
	for _, s := range scenarios {
		if !strings.EqualFold(strings.TrimPrefix(strings.ToLower(test), "test"), s.test) {
			continue
		}
		if !given {
			return s, s.recipes[0], nil
		}
		if slices.Contains(s.recipes, recipe) {
			return s, recipe, nil
		}
		return s, "", fmt.Errorf("scenario %s has the recipes %s, not %s", strings.ToLower(s.test), strings.Join(s.recipes, ", "), recipe)
	}
	return scenario{}, "", fmt.Errorf("unknown scenario %q; the scenarios are:\n%s", name, list())
}

// list returns the names of all scenarios, one a line.
func list() string {
	var lines strings.Builder
	for _, s := range scenarios {
		for _, recipe := range s.recipes {
			fmt.Fprintf(&lines, "  %s/%s\n", strings.ToLower(s.test), recipe)
		}
	}
	return lines.String()
}

// packages returns the image without apt-be, and the package files of the machine's
// APT archive.
func (s scenario) packages(t guest.T, recipe string) (image.Image, []string) {
	t.Helper()
	release := source.Oldstable
	if recipe == image.BIOSGRUBStable {
		release = source.Stable
	}
	var files []string
	var disk image.Image
	if s.living {
		machine := living.New(t, recipe, release)
		disk, files = machine.Image, machine.Next
	} else {
		disk = image.Build(t, recipe)
	}
	if s.kernel {
		files = append(files, source.NewKernel(t, release)...)
	}
	return disk, files
}

// boot starts the scenario's machine, to the point at which the test begins.
func (s scenario) boot(t guest.T, recipe string, options guest.Options) (*guest.Guest, guest.Disk) {
	t.Helper()
	base, files := s.packages(t, recipe)
	installed := base.Install(t)
	if !s.plain {
		installed = installed.Initialize(t)
	}
	disk := installed.Disk(t)
	g := guest.Start(t, disk, options)
	g.WaitBoot(t)
	if len(files) > 0 {
		source.New(t, files...).Use(t, g)
	}
	if s.script != "" {
		g.Shell(t, s.script)
	}
	return g, disk
}
