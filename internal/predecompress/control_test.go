package predecompress

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestHasNews(t *testing.T) {
	for sums, want := range map[string]bool{
		"": false,
		"d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/x/changelog.Debian.gz\n":                                            false,
		"d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/x/NEWS.gz\n":                                                        false,
		"d41d8cd98f00b204e9800998ecf8427e  usr/bin/x\nd41d8cd98f00b204e9800998ecf8427e  usr/share/doc/x/NEWS.Debian.gz\n":    true,
		"d41d8cd98f00b204e9800998ecf8427e  usr/share/doc/x/NEWS.Debian\nd41d8cd98f00b204e9800998ecf8427e  usr/share/doc/y\n": true,
	} {
		if got := hasNews([]byte(sums)); got != want {
			t.Errorf("hasNews(%q) = %t", sums, got)
		}
	}
}

// packages are packages by name: further files of the control directory, and further
// fields of the control file.
var packages = map[string]struct {
	fields string
	files  map[string]string
}{
	"plain":     {files: map[string]string{"md5sums": sum + "usr/bin/x\n"}},
	"news":      {files: map[string]string{"md5sums": sum + "usr/share/doc/x/NEWS.Debian.gz\n"}},
	"unknown":   {},
	"empty":     {files: map[string]string{"md5sums": ""}},
	"scripts":   {files: map[string]string{"postinst": "#!/bin/sh\n", "prerm": "#!/bin/sh\n", "triggers": "activate x\n", "conffiles": ""}},
	"source":    {fields: "Source: other\n"},
	"binnmu":    {fields: "Source: other (1:2.0~rc1-3)\nVersion: 1:2.0~rc1-3+b2\n"},
	"case":      {fields: "source: other\n"},
	"zero":      {fields: "Version: 0:1.0\n"},
	"low":       {fields: "Version: 0.1-2\n"},
	"lines":     {fields: "Source: other\n (2.0)\n"},
	"unrelated": {fields: "Built-Using: gcc (= 1),\n Version\n"},
}

const sum = "d41d8cd98f00b204e9800998ecf8427e  "

// build builds the package with that name. Older versions of dpkg-deb refuse some of
// the odd ones.
func (f fixture) build(t *testing.T, name string) (pkg string) {
	t.Helper()
	tree := filepath.Join(f.dir, name)
	control := filepath.Join(tree, "DEBIAN")
	check(t, os.MkdirAll(control, 0o755))
	text := "Package: " + name + "\n" + packages[name].fields +
		"Architecture: all\nMaintainer: Somebody <somebody@example.com>\nDescription: a test\n Version: none\n"
	if !strings.Contains(text, "\nVersion:") {
		text += "Version: 1.0\n"
	}
	check(t, os.WriteFile(filepath.Join(control, "control"), []byte(text), 0o644))
	for file, content := range packages[name].files {
		mode := os.FileMode(0o644)
		if strings.HasPrefix(content, "#!") {
			mode = 0o755
		}
		check(t, os.WriteFile(filepath.Join(control, file), []byte(content), mode))
	}
	pkg = tree + ".deb"
	if out, err := exec.Command("dpkg-deb", "--root-owner-group", "--nocheck", "-Zxz", "--build", tree, pkg).CombinedOutput(); err != nil {
		t.Fatalf("%s: %s", err, out)
	}
	return pkg
}

// TestStandIn compares the stand-in's answers for ready packages with those of
// dpkg-deb.
func TestStandIn(t *testing.T) {
	const backend = "/usr/bin/dpkg-deb"
	f := newFixture(t)
	var built []string
	for name := range packages {
		built = append(built, f.build(t, name))
	}
	built = append(built, f.pkg(t, "broken.deb", "no package"))
	check(t, Run(context.Background(), built, Options{Dir: f.ready, Backend: backend, Workers: 2}))

	script, err := os.ReadFile("../../hooks/sandbox/bin/dpkg-deb")
	check(t, err)
	const place = "/run/apt-be/ahead"
	if n := strings.Count(string(script), place); n != 1 {
		t.Fatalf("the stand-in has its directory %d times", n)
	}
	standIn := filepath.Join(f.dir, "dpkg-deb")
	check(t, os.WriteFile(standIn, bytes.ReplaceAll(script, []byte(place), []byte(f.ready)), 0o755))

	for _, pkg := range built {
		for _, args := range [][]string{
			append([]string{"-f", pkg}, asked...),
			{"-f", pkg},
			{"-f", pkg, "Package", "Source", "Version", "Status", "Architecture"},
			{"--field", pkg, "Version"},
			{"--ctrl-tarfile", pkg},
			{"--fsys-tarfile", pkg},
			{"--info", pkg},
		} {
			if got, want := run(standIn, args...), run(backend, args...); got != want {
				t.Errorf("%q prints %q, want %q", args, got, want)
			}
		}
		got, want := f.extract(t, standIn, pkg), f.extract(t, backend, pkg)
		if got != want {
			t.Errorf("the control files of %s are\n%s\nwant\n%s", pkg, got, want)
		}
	}
	// If nothing is ready, the answers are the same, because the stand-in runs
	// dpkg-deb.
	for suffix, want := range map[string][]string{
		fields:       {"plain", "news", "unknown", "empty", "scripts", "source", "binnmu", "case", "low", "unrelated"},
		controlFiles: {"plain", "lines", "zero", "scripts"},
		noNews:       {"plain"},
	} {
		for _, name := range want {
			if !exists(filepath.Join(f.ready, name+".deb"+suffix)) {
				t.Errorf("there is no %s of %s", suffix, name)
			}
		}
	}
	for _, name := range []string{"news.deb" + noNews, "unknown.deb" + noNews, "empty.deb" + noNews, "zero.deb" + fields, "lines.deb" + fields, "broken.deb" + controlFiles} {
		if exists(filepath.Join(f.ready, name)) {
			t.Errorf("there is %s", name)
		}
	}
}

func TestOrder(t *testing.T) {
	f := newFixture(t)
	var packages []string
	for _, name := range []string{"a", "b", "c", "d"} {
		packages = append(packages, f.pkg(t, name, strings.Repeat(name, int(name[0]))))
	}
	check(t, os.WriteFile(filepath.Join(f.ready, "c"+noNews), nil, 0o600))
	order := func(news bool) string {
		q := queue{Options: Options{Dir: f.ready, News: news}}
		var names []string
		for _, pkg := range q.inOrder(packages) {
			names = append(names, filepath.Base(pkg))
		}
		return strings.Join(names, " ")
	}
	if got, want := order(false), "a b c d"; got != want {
		t.Errorf("the order is %s, want %s", got, want)
	}
	if got, want := order(true), "d b a c"; got != want {
		t.Errorf("if somebody looks for news the order is %s, want %s", got, want)
	}
	check(t, os.Truncate(packages[3], 1<<43)) // no memory has space for it
	if got, want := order(true), "b a c d"; got != want {
		t.Errorf("without room for the largest the order is %s, want %s", got, want)
	}
}

// run returns a command's output and exit status.
func run(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return string(out) + err.Error()
	}
	return string(out)
}

// extract makes a dpkg-deb extract the control files of a package, as dpkg does, and
// lists them with modes and contents.
func (f fixture) extract(t *testing.T, backend, pkg string) string {
	t.Helper()
	dir := filepath.Join(f.dir, "extracted")
	defer func() { check(t, os.RemoveAll(dir)) }()
	ended := run(backend, "--control", pkg, dir)
	list, err := exec.Command("sh", "-c", `cd "$1" && ls -lAn --time-style=+ . && ls -ldn --time-style=+ . && tail -n +1 -- *`, "sh", dir).Output()
	if err != nil && ended == "" {
		t.Fatalf("%s: %s", pkg, err)
	}
	return ended + string(list)
}
