package btrfs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// policyFile is an administrator's configuration file.
const policyFile = "/etc/apt/apt.conf.d/99local"

// testPolicies upgrades with policies from each source, and with invalid ones.
func testPolicies(t *testing.T, l lab) {
	t.Run("no redirect", func(t *testing.T) { testNoRedirect(t, l) })
	t.Run("environment", func(t *testing.T) { testConfigOfEnvironment(t, l) })
	t.Run("broken", func(t *testing.T) { testBrokenPolicies(t, l) })
	t.Run("mended", func(t *testing.T) { testMending(t, l) })
}

// testNoRedirect has all ways to disable the redirect.
func testNoRedirect(t *testing.T, l lab) {
	const no = "Apt-Be::Redirect \"no\";\nApt-Be::Guard \"off\";\n"
	for _, c := range []struct {
		name    string
		file    string // the file that disables it
		options []string
		env     []string
	}{
		{name: "option", options: []string{"-o", "Apt-Be::Redirect=no", "-o", "Apt-Be::Guard=off"}},
		{name: "bypass", env: []string{"APT_BE_BYPASS=1"}},
		{name: "file", file: policyFile},
		{name: "file that is named", file: "/root/apt.conf", options: []string{"-c", "/root/apt.conf"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, f := range frontends() {
				known := f.command != "unattended-upgrade" && (f.command != "aptitude" || c.name != "file that is named")
				if c.options != nil && !known {
					t.Logf("%s has no such option", f.command)
					continue
				}
				m := l.system(t, with, running, packages.Good)
				if c.file != "" {
					m.WriteFile(t, c.file, no)
				}
				command := f.quiet()
				command.Args, command.Env = append(command.Args, c.options...), c.env
				mounts := m.Mounts(t)
				result := m.Run(t, command)
				if version := m.Shell(t, "dpkg-query -W -f '${Version}' bt-many1"); result.Status != 0 || version != "2.0" {
					t.Errorf("%s: status %d, and the running system has bt-many1 %s:\n%s", f.name, result.Status, version, result.Output)
				}
				if strings.Contains(result.Output, "apt-be: ") {
					t.Errorf("%s: apt-be says something:\n%s", f.name, result.Output)
				}
				checkNothingLeft(t, l, m, mounts)
				l.done(t, m)
			}
		})
	}
}

// testConfigOfEnvironment uses $APT_CONFIG. apt reads that file before apt.conf.d,
// where apt-be's own file enables the redirect, and ignores a missing one.
func testConfigOfEnvironment(t *testing.T, l lab) {
	for name, file := range map[string]string{"overruled": "/root/apt.conf", "not there": "/root/none"} {
		t.Run(name, func(t *testing.T) {
			m := l.system(t, with, running, packages.Good)
			defer l.done(t, m)
			m.WriteFile(t, "/root/apt.conf", "Apt-Be::Redirect \"no\";\nDPkg::Options { \"--log=/var/log/of-the-environment\"; };\n")
			result := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}, Env: []string{"APT_CONFIG=" + file}})
			found := environments(t, m)
			if result.Status != 0 || len(found) != 1 || found[0].State != "ready" {
				t.Fatalf("status %d, boot environments %v:\n%s", result.Status, found, result.Output)
			}
			_, err := os.Stat(l.Path("@be/" + found[0].Name + "/var/log/of-the-environment"))
			if heeded := err == nil; heeded != (name == "overruled") {
				t.Errorf("the rest of the file counts: %v", heeded)
			}
		})
	}
}

// testBrokenPolicies checks that an invalid policy stops upgrades of every frontend.
func testBrokenPolicies(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	for _, c := range []struct {
		name, file, content string
		options             []string // which unattended-upgrade lacks
		env                 []string
		why, hint           string
	}{
		{
			name: "a value that means nothing", file: policyFile, content: "Apt-Be::Redirect \"maybe\";\n",
			why:  `cannot read Apt-Be::Redirect: "maybe" is neither yes nor no (` + policyFile + `:1)`,
			hint: "apt-config dump Apt-Be::Redirect shows the settings that apt reads",
		}, {
			name: "another one", file: policyFile, content: "Apt-Be::Redirect::Commands { \"list\"; };\n",
			why:  `cannot read Apt-Be::Redirect::Commands: "list" is not a command that changes packages (` + policyFile + `:1)`,
			hint: "apt-config dump Apt-Be::Redirect::Commands",
		}, {
			name: "no setting", file: policyFile, content: "// mine\nApt-Be {\n  Redirct \"no\"; };\n",
			why:  `cannot read Apt-Be::Redirct: there is no such setting; Apt-Be::Redirect is one (` + policyFile + `:3)`,
			hint: "apt-config dump Apt-Be::Redirct",
		}, {
			name: "an option", options: []string{"-o", "Apt-Be::Speed::Dedupe=fast"},
			why: `cannot read Apt-Be::Speed::Dedupe: "fast" is neither yes nor no (the command line)`, hint: "apt-config dump Apt-Be::Speed::Dedupe",
		}, {
			name: "a file of the environment", file: "/root/apt.conf", content: "Apt-Be::Speed::Dedupe \"fast\";\n", env: []string{"APT_CONFIG=/root/apt.conf"},
			why: `cannot read Apt-Be::Speed::Dedupe: "fast" is neither yes nor no (/root/apt.conf:1)`, hint: "apt-config dump Apt-Be::Speed::Dedupe",
		}, {
			name: "syntax", file: policyFile, content: "\nApt-Be::Redirect no\" {;\n",
			why: "cannot read apt's configuration: ", hint: policyFile + ":",
		}, {
			name: "a file that is not there", options: []string{"-c", "/root/none"},
			why: "cannot read apt's configuration: ", hint: "Unable to read /root/none",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.file != "" {
				m.WriteFile(t, c.file, c.content)
				defer m.Shell(t, "rm "+c.file)
			}
			before, mounts := m.Fingerprint(t), m.Mounts(t)
			for _, f := range frontends() {
				if c.options != nil && f.command == "unattended-upgrade" || len(c.options) > 0 && c.options[0] == "-c" && f.command == "aptitude" {
					continue
				}
				command := f.quiet()
				command.Args, command.Env = append(command.Args, c.options...), c.env
				checkStops(t, m.Run(t, command), f, c.why, c.hint)
			}
			checkUntouched(t, m, before, mounts, frontends()[0])
			checkNoEnvironment(t, l)
		})
	}
}

// testMending checks that an invalid policy does not stop commands that upgrade
// nothing, so that the machine can be repaired, and that the guard stops an upgrade by
// another command.
func testMending(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.WriteFile(t, policyFile, "Apt-Be::Guard \"perhaps\";\n")
	run := func(want int, line string) string {
		t.Helper()
		result := m.Run(t, machine.Command{Args: strings.Fields(line)})
		if result.Status != want {
			t.Errorf("%s: status %d, want %d:\n%s", line, result.Status, want, result.Output)
		}
		return strings.ReplaceAll(result.Output, "\napt-be: ", " ")
	}
	const why = `cannot read Apt-Be::Guard: "perhaps" is not one of snapshot, veto, off (` + policyFile + `:1)`
	if said := run(0, "apt-get -y remove bt-many1"); strings.Count(said, "warning: "+why) != 1 {
		t.Errorf("a removal does not warn of the policy:\n%s", said)
	}
	if said := run(0, "apt-get -y install bt-many1"); strings.Contains(said, why) {
		t.Errorf("it warns twice a day:\n%s", said)
	}
	run(0, "apt -y purge bt-many2")
	run(0, "aptitude -y install bt-many2")
	run(0, "apt-get update")
	before := m.Fingerprint(t)
	for line, status := range map[string]int{
		"apt-get -y install bt-many3":   100,
		"apt -y install bt-many3":       100,
		"apt-get.distrib -y upgrade":    100,
		"unattended-upgrade.distrib -v": 1,
	} {
		said := run(status, line)
		if !strings.HasPrefix(line, "unattended") && (!strings.Contains(said, "error: "+why) || !strings.Contains(said, "apt-config dump Apt-Be::Guard")) {
			t.Errorf("%s: the guard does not say why it stops it, and what to do:\n%s", line, said)
		}
	}
	except := append(propagated(frontends()[3]), "/var/log/apt/eipp.log.xz", "/var/log/apt", "/var/log/unattended-upgrades/unattended-upgrades-dpkg.log")
	if diff := before.Without(except...).Diff(m.Fingerprint(t).Without(except...)); len(diff) > 0 {
		t.Errorf("what the guard stopped changed the running root:\n%s", strings.Join(diff, "\n"))
	}
	checkNoEnvironment(t, l)

	m.Shell(t, "rm "+policyFile)
	run(0, "apt-get -y dist-upgrade")
}
