package docs

import (
	"io"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/cli"
)

func TestParse(t *testing.T) {
	got, err := Parse("a/b.md", "# Title\n\nRun `apt-be\nlist` and [read](c.md#part), not\n[this](https://example.org).\n\n"+
		"```sh\nsudo one 'a # b' # a comment\n# only a comment\ntwo \\\n  three\n```\n\n"+
		"* An item:\n\n  ```go x.go\n  package x\n\n  \tvar a\n  ```\n\n```\nnot a command\n```\n| `cell` |\n")
	want := Document{
		Name: "a/b.md",
		Commands: []Command{
			{"a/b.md", 3, "apt-be list", false},
			{"a/b.md", 8, "sudo one 'a # b'", true},
			{"a/b.md", 11, "two   three", true},
			{"a/b.md", 25, "cell", false},
		},
		Files: []File{{"go", "x.go", "package x\n\n\tvar a\n"}},
		Links: []string{"c.md"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, text := range []string{"text\n\n    indented\n", "```sh\nno end\n"} {
		if d, err := Parse("c.md", text); err == nil {
			t.Errorf("Parse(%q) = %+v", text, d)
		}
	}
}

func TestApply(t *testing.T) {
	f := File{"diff", "x", "-one\n+1\n two\n"}
	if got, err := f.Apply("zero\none\ntwo\n"); err != nil || got != "zero\n1\ntwo\n" {
		t.Errorf("Apply = %q, %v", got, err)
	}
	for _, text := range []string{"zero\n", "one\ntwo\none\ntwo\n"} {
		if got, err := f.Apply(text); err == nil {
			t.Errorf("Apply(%q) = %q", text, got)
		}
	}
}

func TestWords(t *testing.T) {
	got, err := Words(`A=1 one 'two three' "" && four | five; six`)
	want := [][]string{{"A=1", "one", "two three", ""}, {"four"}, {"five"}, {"six"}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err := Words("one 'two"); err == nil {
		t.Errorf("Words = %q", got)
	}
}

func newChecker(t *testing.T) Checker {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	return Checker{Root: root, AptBe: func() *cobra.Command {
		log := logrus.New()
		log.SetOutput(io.Discard)
		return cli.NewCommand(&cli.App{Stdout: io.Discard, Stderr: io.Discard, Log: log, Version: "test"})
	}}
}

func TestCheck(t *testing.T) {
	checker := newChecker(t)
	for command, ok := range map[string]bool{
		"sudo apt-be list -s":                               true,
		"sudo apt-be share add /var/mail":                   true,
		"apt-be destroy NAME --accept-risk delete-nested":   true,
		"apt-be --version":                                  true,
		"apt-be list --help":                                true,
		"apt-be upgrade --in NAME -y":                       true,
		"apt-be list && apt-be status":                      true,
		"apt-be liste":                                      false,
		"apt-be list && apt-be stat":                        false,
		"apt-be list --space-left":                          false,
		"apt-be list NAME":                                  false,
		"apt-be rename NAME":                                false,
		"apt-be share mend":                                 false,
		"apt-be destroy NAME --accept-risk everything":      false,
		"make unit PATTERN=internal/be":                     true,
		"make unit PATTERN=TestScripts/list":                true,
		"make btrfs GROUP=locks":                            true,
		"make vm SCENARIO=TestUpgrade/bios-grub":            true,
		"make boot SCENARIO=upgrade":                        true,
		"make units":                                        false,
		"make unit PATTERN=internal/bee":                    false,
		"make unit PATTERN=TestScriptures":                  false,
		"make unit FILTER=x":                                false,
		"make btrfs GROUP=lox":                              false,
		"make vm SCENARIO=TestDowngrade":                    false,
		"make boot SCENARIO=downgrade":                      false,
		"scripts/test --nightly":                            true,
		"scripts/test btrfs oldstable/locks":                true,
		"scripts/test units":                                false,
		"scripts/test --weekly":                             false,
		"scripts/vm upgrade/bios-grub 'apt-be list' reboot": true,
		"scripts/vm upgrade/bios-grub 'apt-be liste'":       false,
		"scripts/vm upgrade/arm-grub":                       false,
		"scripts/no-such-script":                            false,
		"internal/layers.txt":                               false, // not executable
		"go test ./tests/vm -run TestUpgrade -nightly":      true,
		"go test ./tests/vm -run TestDowngrade":             false,
		"go test ./tests/vm -run TestUpgrade -weekly":       false,
		"go test ./tests/no":                                false,
		"go run ./tests/vm/downtime":                        true,
		"go run ./tests/vm/uptime":                          false,
		"frobnicate":                                        false,
		"apt-be run 'NAME":                                  false,
	} {
		err := checker.Check(Command{File: "README.md", Line: 1, Text: command, Typed: true})
		if (err == nil) != ok {
			t.Errorf("Check(%q) = %v", command, err)
		}
	}
}

func TestCheckPath(t *testing.T) {
	checker := newChecker(t)
	for name, ok := range map[string]bool{
		"internal/layers.txt": true, "internal/be": true, "be/registry.go": true, "registry.go": true,
		"text": true, "/etc/fstab": true,
		"internal/bees": false, "be/no.go": false, "no_such_file.go": false, "tests/no/such": false,
	} {
		if err := checker.CheckPath(Command{File: "docs/x.md", Text: name}); (err == nil) != ok {
			t.Errorf("CheckPath(%q) = %v", name, err)
		}
	}
}

func TestCheckName(t *testing.T) {
	checker := Checker{Names: map[string]bool{"Begin": true, "parseRecord": true, "Parts": true}}
	for name, ok := range map[string]bool{
		"be.Begin": true, "parseRecord": true, "Record.Parts": true, "term.log": true, "NAME": true, "apt-be": true,
		"be.Start": false, "readRecord": false, "Record.Pieces": false,
	} {
		if err := checker.CheckName(Command{Text: name}); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestIsCommand(t *testing.T) {
	commands := []string{"apt-be list", "sudo apt-be init --undo", "scripts/test", "make unit", "go test ./internal/be"}
	for _, text := range append(commands, "apt-be", "apt-be.cfg", "make", "apt-be activate …", "go.mod") {
		if got := IsCommand(text); got != slices.Contains(commands, text) {
			t.Errorf("IsCommand(%q) = %v", text, got)
		}
	}
}
