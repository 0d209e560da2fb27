package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/image"
)

// TestEachTestHasAScenario compares the table with the tests in the source.
func TestEachTestHasAScenario(t *testing.T) {
	files, err := filepath.Glob("../*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no tests: %v", err)
	}
	var want, got []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" {
				want = append(want, strings.TrimPrefix(f.Name.Name, "Test"))
			}
		}
	}
	for _, s := range scenarios {
		got = append(got, s.test)
		for _, recipe := range s.recipes {
			if !slices.Contains(image.Recipes(), recipe) {
				t.Errorf("scenario %s has the unknown recipe %s", s.test, recipe)
			}
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("scenarios: %q, want one for each of %q", got, want)
	}
}

func TestFind(t *testing.T) {
	for _, name := range []string{"upgrade", "Upgrade/bios-grub", "TestUpgrade", "testupgrade/bios-grub"} {
		if s, recipe, err := find(name); err != nil || s.test != "Upgrade" || recipe != image.BIOSGRUB {
			t.Errorf("find(%q) = %s, %s, %v", name, s.test, recipe, err)
		}
	}
	if _, recipe, err := find("upgrade/bios-boot-ext4"); err != nil || recipe != image.BIOSBootExt4 {
		t.Errorf("find = %s, %v", recipe, err)
	}
	for _, name := range []string{"", "upgrades", "upgrade/uefi-grub"} {
		if _, _, err := find(name); err == nil {
			t.Errorf("find(%q) finds a scenario", name)
		}
	}
}
