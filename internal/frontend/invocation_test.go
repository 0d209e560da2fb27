package frontend

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFrontendOf(t *testing.T) {
	for argv0, want := range map[string]string{
		"apt-get": "apt-get", "/usr/bin/apt-get": "apt-get", "./apt": "apt", "apt": "apt",
		"aptitude": "aptitude", "/usr/bin/aptitude-curses": "aptitude",
		"unattended-upgrade": "unattended-upgrade", "/usr/bin/unattended-upgrades": "unattended-upgrade",
		"apt-be": "", "apt-cache": "", "": "", "/": "", "apt-get.distrib": "", "Apt": "",
	} {
		f, ok := FrontendOf(argv0)
		if ok != (want != "") || ok && f.String() != want {
			t.Errorf("FrontendOf(%q) = %v, %v; want %q", argv0, f, ok, want)
		}
	}
}

func TestFrontendsHaveNames(t *testing.T) {
	for _, f := range Frontends() {
		if got, ok := FrontendOf(f.String()); !ok || got != f {
			t.Errorf("FrontendOf(%q) = %v, %v", f.String(), got, ok)
		}
	}
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		frontend Frontend
		args     string
		want     Invocation
	}{
		{AptGet, "dist-upgrade", Invocation{Verb: "dist-upgrade", Upgrade: true}},
		{AptGet, "-y|-o|Dpkg::Options::=--force-confold|dist-upgrade", Invocation{Verb: "dist-upgrade", Upgrade: true,
			ConfigArgs: []string{"--option=Dpkg::Options::=--force-confold"}}},
		{AptGet, "-yqd|dist-upgrade", Invocation{Verb: "dist-upgrade", Upgrade: true, Dry: true, DryReason: "-yqd only downloads",
			ConfigArgs: []string{"--option=apt::get::download-only=1"}}},
		{AptGet, "dist-upgrade|-s|-c|a.conf", Invocation{Verb: "dist-upgrade", Upgrade: true,
			ConfigArgs: []string{"--option=apt::get::simulate=1", "--config-file=a.conf"}}},
		{AptGet, "-v|upgrade", Invocation{Verb: "upgrade", Upgrade: true, Dry: true, DryReason: "-v only prints the version"}},
		{Apt, "full-upgrade|--no-simulate", Invocation{Verb: "full-upgrade", Upgrade: true,
			ConfigArgs: []string{"--option=apt::get::simulate=0"}}},
		{Apt, "-t|dist-upgrade", Invocation{}},
		{Apt, "--newer=option|--another|value|full-upgrade|-s", Invocation{Verb: "full-upgrade", Upgrade: true,
			Problem: `option "--newer=option" is not known`}},
		{AptGet, "install|-s|x", Invocation{Verb: "install", Dry: true, DryReason: "-s only simulates",
			ConfigArgs: []string{"--option=apt::get::simulate=1"}}},
		{AptGet, "source|-b|x", Invocation{Verb: "source", Problem: `option "b" in "-b" is not known`}},
		{Aptitude, "Full-Upgrade|-v", Invocation{Verb: "full-upgrade", Upgrade: true}},
		{Aptitude, "-u", Invocation{}},
		{Aptitude, "-F|-s|upgrade", Invocation{Verb: "upgrade", Upgrade: true}},
		{Aptitude, "--sim|upgrade", Invocation{Verb: "upgrade", Upgrade: true, Dry: true, DryReason: "--sim only simulates"}},
		{Aptitude, "-o|Apt-Be::Redirect=no|-o|Aptitude::CmdLine::Simulate=1|-o|a=|safe-upgrade",
			Invocation{Verb: "safe-upgrade", Upgrade: true, ConfigArgs: []string{"--option=Apt-Be::Redirect=no"}}},
		{Aptitude, "-h|full-upgrade|--bogus", Invocation{Verb: "full-upgrade", Upgrade: true, Dry: true, DryReason: "-h only prints help"}},
		{UnattendedUpgrade, "-v", Invocation{Verb: "unattended-upgrade", Upgrade: true}},
		{UnattendedUpgrade, "-d|--dry", Invocation{Verb: "unattended-upgrade", Upgrade: true, Dry: true, DryReason: "--dry only simulates"}},
		{UnattendedUpgrade, "--version", Invocation{Verb: "unattended-upgrade", Upgrade: true,
			Problem: `option "--version" is not known, or an ambiguous abbreviation`}},
	} {
		test.want.Frontend = test.frontend
		got := Parse(test.frontend, strings.Split(test.args, "|"))
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s %s (-want +got):\n%s", test.frontend, test.args, diff)
		}
	}
}

// With POSIXLY_CORRECT, arguments after aptitude's command are not options.
func TestParsePosix(t *testing.T) {
	args := []string{"full-upgrade", "-s"}
	if !Parse(Aptitude, args, "LANG=C").Dry {
		t.Error("-s after the command is not seen")
	}
	if Parse(Aptitude, args, "POSIXLY_CORRECT=").Dry {
		t.Error("-s after the command is seen although getopt_long does not")
	}
	if !Parse(AptGet, args, "POSIXLY_CORRECT=1").Dry {
		t.Error("apt-get looks at POSIXLY_CORRECT")
	}
}

func TestCandidate(t *testing.T) {
	for line, want := range map[string]bool{
		"dist-upgrade": true, "upgrade": true, "full-upgrade": true,
		"install|x": true, "remove|x": true, "autoremove": true, // the policy may list them
		"-s|dist-upgrade": false, "update": false, "clean": false, "list": false, "search|upgrade": false,
		"show|upgrade": false, "source|x": false, "moo": false, "": false, "-f|install": true, "unknown": false,
	} {
		if got := Parse(AptGet, strings.Split(line, "|")).Candidate(); got != want {
			t.Errorf("apt-get %q is a candidate: %v, want %v", line, got, want)
		}
	}
}

// TestParseUnattended compares with recorded results of the real option parser.
func TestParseUnattended(t *testing.T) {
	data, err := os.ReadFile("testdata/unattended-upgrade.tsv")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
		words, want, found := strings.Cut(line, "\t")
		if !found {
			continue // a comment
		}
		var args []string
		if words != "" {
			args = strings.Split(words, "|")
		}
		inv := Parse(UnattendedUpgrade, args)
		got := "real"
		switch {
		case inv.Problem != "":
			got = "error"
		case inv.Dry && strings.HasSuffix(inv.DryReason, "help"):
			got = "help"
		case inv.Dry:
			got = "dry"
		}
		if got != want {
			t.Errorf("unattended-upgrade %q: %s, want %s: %+v", args, got, want, inv)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, frontend := range Frontends() {
		for _, line := range realCorpus(frontend) {
			f.Add(line)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		args := strings.Split(line, "|")
		for _, frontend := range Frontends() {
			inv := Parse(frontend, args)
			switch {
			case inv.Dry != (inv.DryReason != ""):
				t.Errorf("%s %q: dry without a reason, or the reverse: %+v", frontend, args, inv)
			case inv.Dry && (inv.Problem != "" || inv.Candidate()):
				t.Errorf("%s %q: dry is not certain: %+v", frontend, args, inv)
			case inv.Upgrade && !inv.Dry && !inv.Candidate():
				t.Errorf("%s %q: an upgrade that would slip through: %+v", frontend, args, inv)
			}
			for _, arg := range inv.ConfigArgs {
				if !strings.HasPrefix(arg, "--option=") && !strings.HasPrefix(arg, "--config-file=") {
					t.Errorf("%s %q: apt-config would not take %q", frontend, args, arg)
				}
			}
		}
	})
}
