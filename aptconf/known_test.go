package aptconf

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestUnknown checks that an unknown setting below Apt-Be:: is found in a real
// configuration, with its file and line.
func TestUnknown(t *testing.T) {
	for text, want := range map[string]string{
		`Apt-Be::Redirct "no";`:                                           `cannot read Apt-Be::Redirct: there is no such setting; Apt-Be::Redirect is one (FILE:1)`,
		"\n\napt-be::REDIRCT \"no\";":                                     `cannot read apt-be::REDIRCT: there is no such setting; Apt-Be::Redirect is one (FILE:3)`,
		"Apt-Be {\n  Redirct \"no\";\n};":                                 `cannot read Apt-Be::Redirct: there is no such setting; Apt-Be::Redirect is one (FILE:2)`,
		"Apt-Be {\n /* x\n */ Frobnicate { \"x\"; }; };":                  `cannot read Apt-Be::Frobnicate: there is no such setting (FILE:3)`,
		"Apt-Be::Sped::No-Sync \"no\";":                                   `cannot read Apt-Be::Sped: there is no such setting; Apt-Be::Speed is one (FILE:1)`,
		"Apt-Be::Speed::NoSync \"no\";":                                   `cannot read Apt-Be::Speed::NoSync: there is no such setting; Apt-Be::Speed::No-Sync is one (FILE:1)`,
		"Apt-Be::Guard::Mode \"off\";":                                    `cannot read Apt-Be::Guard::Mode: there is no such setting (FILE:1)`,
		"Apt-Be::Redirect::Commands::x::y \"off\";":                       `cannot read Apt-Be::Redirect::Commands::x::y: there is no such setting (FILE:1)`,
		"// Apt-Be::Guard \"off\";\nApt-Be::Guard { \"off\"; };":          `cannot read Apt-Be::Guard: "off" is not a setting with a value: it is not a list (FILE:2)`,
		"Apt-Be { Redirect {\n\"no\"; }; };":                              `cannot read Apt-Be::Redirect: "no" is not a setting with a value: it is not a list (FILE:2)`,
		"Apt-Be \"no\";":                                                  `cannot read Apt-Be: "no" is not a setting with a value: only settings below it have values (FILE:1)`,
		"Apt-Be::Nested \"/swap\";":                                       `cannot read Apt-Be::Nested: "/swap" is not a setting with a value: only settings below it have values (FILE:1)`,
		"Apt-Be::Nested { \"/swap\"; };":                                  `cannot read Apt-Be::Nested: "/swap" is not a setting with a value: it is not a list (FILE:1)`,
		"# x\nApt-Be::Activate::Methods { \"reboot\";\n\"hibernate\"; };": `cannot read Apt-Be::Activate::Methods: "hibernate" is not one of soft-reboot, kexec, reboot (FILE:3)`,
		"Apt-Be::Nested::Leave-Out { \"/a\"; \"/var/[\"; };":              `cannot read Apt-Be::Nested::Leave-Out: "/var/[" is not a pattern: a [ is not closed, or a \ is the last character (FILE:1)`,
		"Apt-Be::Nested::Leave-Out:: \"swap\";":                           `cannot read Apt-Be::Nested::Leave-Out: "swap" is not the path of a subvolume from the root, such as /var/lib/docker (FILE:1)`,
		"Apt-Be::Allow-Outside { \"opt\"; };":                             `cannot read Apt-Be::Allow-Outside: "opt" is not a mount point other than the root, such as /opt (FILE:1)`,
		"Apt-Be::Nested::Leave-Out { \"/swap/\"; };":                      `cannot read Apt-Be::Nested::Leave-Out: "/swap/" is not the path of a subvolume from the root, such as /var/lib/docker (FILE:1)`,
		"Apt-Be::Redirect \"yes\";\nApt-Be::Redirect \"maybe\";\n":        `cannot read Apt-Be::Redirect: "maybe" is neither yes nor no (FILE:2)`,
		"Binary { apt-get { Apt-Be {\nRedirct \"no\"; }; }; };":           `cannot read Apt-Be::Redirct: there is no such setting; Apt-Be::Redirect is one (FILE:2)`,

		"Binary::apt::Apt-Be::Redirct \"no\";":                                                  "",
		"apt-be::redirect::COMMANDS { \"upgrade\"; };":                                          "",
		"Apt-Be::Redirect::Commands::mine \"upgrade\";":                                         "",
		"Apt-Be { Redirect \"no\" { Commands { \"install\"; }; }; };":                           "",
		"Apt-Be::Activate::Methods \"Kexec, reboot\";":                                          "",
		"Apt-Be::Nested::Leave-Out { \"/var/lib/*/x\"; \"/[ab]\"; };":                           "",
		"#clear Apt-Be::Redirect::Commands;\nApt-Be::Redirect::Commands { \"dist-upgrade\"; };": "",
		"Apt-Bee::Redirct \"no\"; // of another program":                                        "",
		"Apt-Be::Redirect \"\";":                                                                "",
	} {
		file := filepath.Join(t.TempDir(), "99local")
		if err := os.WriteFile(file, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		for how, q := range map[string]Query{
			"-c":          {Args: []string{"--config-file=" + file}},
			"environment": {Env: []string{"APT_CONFIG=" + file}},
		} {
			q.Program = "apt-get"
			q.Env = append(q.Env, "PATH="+os.Getenv("PATH"))
			got := ""
			if _, err := readPolicy(t, q); err != nil {
				got = strings.ReplaceAll(err.Error(), file, "FILE")
			}
			if how == "-c" && strings.HasPrefix(text, "Binary") {
				continue // apt looks for these before it reads the command line
			}
			if got != want {
				t.Errorf("%s by %s:\n got %s\nwant %s", text, how, got, want)
			}
		}
	}
}

func readPolicy(t *testing.T, q Query) (Policy, error) {
	t.Helper()
	c, err := Read(context.Background(), q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return c.Policy()
}

// TestWhere checks that Where names the setting that takes effect, if several files set
// it.
func TestWhere(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := file("first", "Apt-Be::Guard \"x\";\n")
	second := file("second", "\nApt-Be::Guard \"x\"; Apt-Be::Deadline \"1\";\n")
	outer := file("outer", "\n#include \""+second+"\";\n#include \"/nosuch\";\n")
	if err := exec.Command("mkfifo", filepath.Join(dir, "fifo")).Run(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--config-file=" + first}, first + ":1"},
		{[]string{"--config-file=" + first, "--config-file=" + second}, second + ":2"},
		{[]string{"--config-file=" + second, "--config-file=" + first}, first + ":1"},
		{[]string{"--config-file=" + outer}, second + ":2"},
		{[]string{"--config-file=" + first, "--option=apt-be::guard=x"}, theCommandLine},
		{[]string{"--option=apt-be::guard=x", "--config-file=" + first}, first + ":1"},
		{[]string{"--config-file=" + first, "--option=apt-be::guard=off"}, first + ":1"},
		{[]string{"--config-file=" + filepath.Join(dir, "fifo")}, ""},
		{nil, ""},
	} {
		conf := Config{}.From(Query{Args: c.args})
		if got := conf.where("Apt-Be::Guard", "x"); got != c.want {
			t.Errorf("%q: %q, want %q", c.args, got, c.want)
		}
	}
	if got := Included(outer); fmt.Sprint(got) != fmt.Sprintf("[%s /nosuch]", second) {
		t.Errorf("it includes %q", got)
	}
	loop := filepath.Join(dir, "loop")
	file("loop", "#include \""+loop+"\";\n")
	if got := Included(loop); len(got) != 1 {
		t.Errorf("a file that includes itself includes %q", got)
	}
}

// TestSettingsAreKnown checks that all settings that the product reads, and all that
// its configuration file describes, are known. An unknown one would stop every upgrade.
func TestSettingsAreKnown(t *testing.T) {
	known := map[string]bool{}
	for name := range settings {
		known[Fold(name)] = true
	}
	inSource := regexp.MustCompile(`"(Apt-Be(?:::[A-Za-z-]+)+)(?:::)?"`)
	err := filepath.WalkDir("..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() && strings.HasPrefix(entry.Name(), ".") && entry.Name() != ".." {
			return filepath.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(path)
		for _, match := range inSource.FindAllSubmatch(source, -1) {
			if !known[Fold(string(match[1]))] {
				t.Errorf("%s reads %s, which checkKnown does not know", path, match[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// read the commented-out settings, too
	text := regexp.MustCompile(`(?m)^  //   ((?:Speed|Nested)::.*;)`).ReplaceAll(asShipped, []byte("  $1"))
	file := filepath.Join(t.TempDir(), "50apt-be")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readPolicy(t, Query{Args: []string{"--config-file=" + file}}); err != nil {
		t.Error(err)
	}
}
