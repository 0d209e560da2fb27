package script

import (
	"encoding/json"
	"fmt"
	"go/format"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/cli"
	"github.com/apt-be/apt-be/internal/health"
	"github.com/apt-be/apt-be/tests/docs"
)

// readDocuments returns the root of the repository and its documents.
func readDocuments(t *testing.T) (string, []docs.Document) {
	t.Helper()
	root, err := docs.Root()
	if err != nil {
		t.Fatal(err)
	}
	documents, err := docs.Read(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(documents) < 15 {
		t.Fatalf("there are only %d documents", len(documents))
	}
	return root, documents
}

// commandTree returns the command apt-be without a machine.
func commandTree() *cobra.Command {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return cli.NewCommand(&cli.App{Stdout: io.Discard, Stderr: io.Discard, Log: log, Version: "test"})
}

// TestDocumentedCommandsExist checks the commands, paths, names and links of all
// documents.
func TestDocumentedCommandsExist(t *testing.T) {
	root, documents := readDocuments(t)
	names, err := docs.ReadNames(root)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, d := range documents {
		checker := docs.Checker{Root: root, AptBe: commandTree, Added: d.Added(), Names: names}
		for _, c := range d.Commands {
			if c.Typed || docs.IsCommand(c.Text) {
				count++
				if err := checker.Check(c); err != nil {
					t.Error(err)
				}
			}
			if err := checker.CheckPath(c); err != nil {
				t.Error(err)
			}
			// The glossary has former names.
			if err := checker.CheckName(c); err != nil && d.Name != "docs/glossary.md" {
				t.Error(err)
			}
		}
		for _, link := range d.Links {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(d.Name), link)); err != nil {
				t.Errorf("%s: a broken link: %v", d.Name, err)
			}
		}
	}
	if count < 100 {
		t.Errorf("found only %d commands", count)
	}
}

// TestEachDocumentedCommandHasAPlace compares the commands of sh blocks with the table
// of the places in which they run.
func TestEachDocumentedCommandHasAPlace(t *testing.T) {
	_, documents := readDocuments(t)
	shown := map[string]bool{}
	for _, d := range documents {
		for _, c := range d.Commands {
			if !c.Typed {
				continue
			}
			shown[c.Text] = true
			if _, ok := docs.Places[c.Text]; !ok {
				t.Errorf("%s: %s: tests/docs/places.go does not list the command", c.Place(), c.Text)
			}
		}
	}
	for text, place := range docs.Places {
		if !shown[text] {
			t.Errorf("no document shows the command %s", text)
		}
		if runs := place.Script || place.Machine; runs == (place.Elsewhere != "") {
			t.Errorf("%s: the place must be a test or a reason, not both", text)
		}
	}
}

// documentedRoot is the root on which the documents' commands run, as files of a script.
const documentedRoot = `
-- root/etc/fstab --
UUID=1 / btrfs subvol=@rootfs 0 0
-- root/etc/os-release --
PRETTY_NAME=Debian
-- root/boot/vmlinuz-6.1 --
kernel
-- root/boot/initrd.img-6.1 --
initrd
-- root/lib/modules/6.1/modules.dep --
-- root/var/mail/al --
mail
-- root/var/lib/dpkg/status --
Package: pkg
Status: install ok installed
Architecture: all
Version: 1.0

`

// TestDocumentedCommandsRun runs the commands of each document in order on a fake
// machine with the pending environment NAME and the former default old, or, if they are
// programs of the repository, in its root.
func TestDocumentedCommandsRun(t *testing.T) {
	root, documents := readDocuments(t)
	dir := t.TempDir()
	count := 0
	for _, d := range documents {
		var script strings.Builder
		for _, c := range d.Commands {
			place := docs.Places[c.Text]
			if !c.Typed || !place.Script {
				continue
			}
			count++
			command := strings.TrimPrefix(c.Text, "sudo ")
			if !strings.HasPrefix(command, "apt-be ") {
				runInRoot(t, root, c, command)
				continue
			}
			fmt.Fprintf(&script, "# %s\n%s\nexec %s\n", c.Place(), strings.Join(place.Before, "\n"), command)
		}
		if script.Len() == 0 {
			continue
		}
		name := strings.ReplaceAll(strings.TrimSuffix(d.Name, ".md"), "/", "_") + ".txtar"
		text := `exec machine install root
exec machine boot-menu
exec apt-be create NAME
exec machine record NAME ready redirect 1
exec apt-be create old
exec machine record old blessed redirect 2
` + script.String() + documentedRoot
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if count < 10 {
		t.Errorf("only %d commands run", count)
	}
	testscript.Run(t, parameters(dir))
}

// runInRoot runs a program of the repository.
func runInRoot(t *testing.T, root string, c docs.Command, command string) {
	t.Helper()
	cmd := exec.Command("sh", "-ec", command)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %s: %v\n%s", c.Place(), c.Text, err, out)
	}
}

// shownFile returns a file that a document shows.
func shownFile(t *testing.T, d docs.Document, name string) docs.File {
	t.Helper()
	for _, f := range d.Added() {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("%s does not show %s", d.Name, name)
	return docs.File{}
}

// contributing returns the root of the repository and CONTRIBUTING.md.
func contributing(t *testing.T) (string, docs.Document) {
	t.Helper()
	root, documents := readDocuments(t)
	for _, d := range documents {
		if d.Name == "CONTRIBUTING.md" {
			return root, d
		}
	}
	t.Fatal("there is no CONTRIBUTING.md")
	return "", docs.Document{}
}

// TestWorkedExamples makes the changes that CONTRIBUTING.md shows in a copy of the
// files, compiles the packages and runs the tests of the new verb.
func TestWorkedExamples(t *testing.T) {
	t.Parallel()
	root, d := contributing(t)
	dir := t.TempDir()
	overlay := map[string]string{}
	for _, f := range d.Files {
		text := f.Text
		if f.Language == "diff" {
			old, err := os.ReadFile(filepath.Join(root, f.Name))
			if changed, ok := overlay[filepath.Join(root, f.Name)]; ok {
				old, err = os.ReadFile(changed)
			}
			if err != nil {
				t.Fatal(err)
			}
			if text, err = f.Apply(string(old)); err != nil {
				t.Fatal(err)
			}
		} else if _, err := os.Lstat(filepath.Join(root, f.Name)); err == nil {
			t.Errorf("%s exists already", f.Name)
		}
		if filepath.Ext(f.Name) == ".go" {
			if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
				t.Errorf("%s is not formatted by gofmt: %v", f.Name, err)
			}
		}
		path := filepath.Join(dir, f.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(root, f.Name)] = path
	}
	replace, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, replace, 0o644); err != nil {
		t.Fatal(err)
	}
	tool := func(args ...string) {
		t.Helper()
		cmd := exec.Command("go", args...)
		cmd.Dir = root
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", args[0], err, out)
		}
	}
	tool("vet", "-overlay", list, "./internal/cli", "./tests/vm", "./tests/vm/boot")
	for path, test := range map[string]string{"internal/cli": "TestJSONIsAsDocumented", "tests/script": "TestScripts"} {
		binary := filepath.Join(dir, filepath.Base(path)+".test")
		tool("test", "-c", "-ldflags=-s -w", "-overlay", list, "-o", binary, "./"+path)
		run := exec.Command(binary, "-test.v", "-test.run", "^"+test+"$")
		run.Dir = filepath.Join(dir, path)
		out, err := run.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+test) {
			t.Errorf("%s: %v\n%s", path, err, out)
		}
	}
}

// TestExampleOfAHealthCheck runs the health check of CONTRIBUTING.md with a findmnt that
// prints other options.
func TestExampleOfAHealthCheck(t *testing.T) {
	_, d := contributing(t)
	dir, checks := t.TempDir(), t.TempDir()
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	const name = "20-root"
	if err := os.WriteFile(filepath.Join(checks, name), []byte(shownFile(t, d, "hooks/health.d/"+name).Text), 0o755); err != nil {
		t.Fatal(err)
	}
	for options, want := range map[string]health.Result{
		"rw,relatime,subvol=/@rootfs": {Name: name, OK: true},
		"ro,relatime,subvol=/@rootfs": {Name: name, Reason: "the root file system is read-only"},
	} {
		if err := os.WriteFile(filepath.Join(dir, "findmnt"), []byte("#!/bin/sh\necho "+options+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		got := health.Run(t.Context(), []string{checks}, io.Discard)
		if diff := cmp.Diff([]health.Result{want}, got); diff != "" {
			t.Errorf("with the options %s (-want +got):\n%s", options, diff)
		}
	}
}
