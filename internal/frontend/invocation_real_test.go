package frontend

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/aptconf"
)

// realWorld is a directory for the real frontends of this machine. They find one
// installed package, an upgrade of it, and a dpkg that only records its calls. They
// read and write nothing outside of it.
type realWorld struct {
	dir  string
	env  []string
	dpkg string // the record
}

// The actions of a real frontend.
const (
	didChange  = "changed packages"
	didNothing = "changed nothing"
	didFail    = "failed"
)

func newRealWorld(t *testing.T) realWorld {
	t.Helper()
	w := realWorld{dir: t.TempDir()}
	w.dpkg = filepath.Join(w.dir, "dpkg.log")
	w.write(t, "var/lib/dpkg/status", 0o644, `Package: be-sample
Status: install ok installed
Maintainer: Nobody <nobody@example.org>
Architecture: all
Version: 1.0
Description: sample

`)
	deb := "stands in for a package\n"
	w.write(t, "repo/be-sample_2.0_all.deb", 0o644, deb)
	w.write(t, "repo/Packages", 0o644, fmt.Sprintf(`Package: be-sample
Maintainer: Nobody <nobody@example.org>
Architecture: all
Version: 2.0
Filename: ./be-sample_2.0_all.deb
Size: %d
SHA256: %x
Description: sample
`, len(deb), sha256.Sum256([]byte(deb))))
	w.write(t, "etc/apt/sources.list", 0o644, "deb [trusted=yes] file:"+w.dir+"/repo ./\n")
	w.write(t, "on.conf", 0o644, `APT::Get::Simulate "yes";`+"\n")
	w.write(t, "off.conf", 0o644, `APT::Get::Simulate "no";`+"\n")
	w.write(t, "dpkg", 0o755, "#!/bin/sh\necho \"$*\" >>"+w.dpkg+"\n")
	for _, dir := range []string{"etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/trusted.gpg.d",
		"var/lib/apt/lists/partial", "var/lib/dpkg/updates", "var/cache/apt/archives/partial", "var/log/apt", "home"} {
		if err := os.MkdirAll(filepath.Join(w.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.write(t, "apt.conf", 0o644, fmt.Sprintf(`Dir "%[1]s/";
Dir::State::status "%[1]s/var/lib/dpkg/status";
Dir::Bin::dpkg "%[1]s/dpkg";
Dir::Bin::methods "/usr/lib/apt/methods";
Dir::Bin::methods::file "/usr/lib/apt/methods/file";
DPkg::Run-Directory "%[1]s";
Debug::NoLocking "yes";
APT::Sandbox::User "root";
APT::Get::Assume-Yes "yes";
Aptitude::CmdLine::Assume-Yes "yes";
Aptitude::CmdLine::Ignore-Trust-Violations "yes";
Acquire::Languages "none";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "no";
`, w.dir))
	w.env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "TERM=dumb", "HOME=" + w.dir + "/home",
		"APT_CONFIG=" + w.dir + "/apt.conf", "APT_BE_BYPASS=1"}
	if out, err := w.command(AptGet, []string{"update"}).CombinedOutput(); err != nil {
		t.Fatalf("cannot update: %v\n%s", err, out)
	}
	return w
}

func (w realWorld) write(t *testing.T, name string, mode os.FileMode, content string) {
	t.Helper()
	file := filepath.Join(w.dir, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func (w realWorld) command(f Frontend, args []string) *exec.Cmd {
	cmd := exec.Command("/usr/bin/"+f.String(), args...)
	cmd.Env, cmd.Dir = w.env, w.dir
	return cmd
}

// do runs a frontend and returns its action.
func (w realWorld) do(t *testing.T, f Frontend, args []string) (what string, output []byte) {
	t.Helper()
	if err := os.WriteFile(w.dpkg, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	output, err := w.command(f, args).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	calls, readErr := os.ReadFile(w.dpkg)
	if readErr != nil {
		t.Fatal(readErr)
	}
	switch {
	case strings.Contains(string(calls), "--unpack") || strings.Contains(string(calls), "--remove"):
		return didChange, output
	case err != nil:
		return didFail, output
	}
	return didNothing, output
}

// TestAgainstReal compares Parse and Decide with the actions of this machine's
// frontends for the same arguments. unattended-upgrade is missing, because it cannot
// use another directory.
func TestAgainstReal(t *testing.T) {
	w := newRealWorld(t)
	t.Chdir(w.dir)
	for _, f := range []Frontend{AptGet, Apt, Aptitude} {
		if _, err := os.Stat("/usr/bin/" + f.String()); err != nil {
			t.Logf("no %s here", f)
			continue
		}
		seen := map[string]int{}
		for i, line := range realCorpus(f) {
			if f == Apt && i%5 != 0 {
				continue // it has apt-get's parser
			}
			var args []string
			if line != "" {
				args = strings.Split(line, "|")
			}
			seen[w.compare(t, f, args)]++
		}
		if t.Logf("%s: %v", f, seen); len(seen) != 3 {
			t.Errorf("%s only did %v: this tells too little", f, seen)
		}
	}
}

// compare returns the real frontend's action.
func (w realWorld) compare(t *testing.T, f Frontend, args []string) string {
	t.Helper()
	what, output := w.do(t, f, args)
	inv := Parse(f, args)
	conf, err := aptconf.Read(t.Context(), aptconf.Query{Program: f.String(), Args: inv.ConfigArgs, Env: w.env})
	if err != nil {
		if what != didFail {
			t.Errorf("%s %q %s, but its configuration is not readable: %v", f, args, what, err)
		}
		return what
	}
	decision, err := Decide(inv, conf, Env{Root: true})
	if err != nil {
		t.Fatal(err)
	}
	var wrong string
	switch {
	case what == didChange && inv.Verb == "":
		wrong = "no verb was found"
	case what == didChange && inv.Dry:
		wrong = "it was taken for dry"
	case what == didChange && inv.Upgrade && !decision.Redirect:
		wrong = "it would be done on the running root"
	case what == didNothing && decision.Redirect:
		wrong = "it would be redirected"
	}
	if wrong != "" {
		t.Errorf("%s %q %s, but %s: %+v %+v\n%s", f, args, what, wrong, inv, decision, output)
	}
	return what
}
