package btrfs_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// explainedLines are command lines to explain and then to run. "BYPASS " sets
// APT_BE_BYPASS.
var explainedLines = []string{
	"apt-get dist-upgrade -y", "apt-get -yu dist-upgrade", "apt-get upgrade -y", "apt-get -y full-upgrade",
	"apt-get -y install --only-upgrade bt-many1", "apt-get -y install ?upgradable", "apt-get -y dselect-upgrade",
	"apt -y full-upgrade", "apt -y upgrade", "apt-get -y -o Apt-Be::Redirect::Commands::=install install bt-many1",
	"aptitude -y full-upgrade", "aptitude -y safe-upgrade", "unattended-upgrade", "unattended-upgrades -v",
	"apt-get -s dist-upgrade", "apt-get -y -d dist-upgrade", "apt-get -y -o APT::Get::Simulate=1 dist-upgrade",
	"apt-get -y -o Apt-Be::Redirect=false dist-upgrade", "apt-get -y -o Apt-Be::Redirect::Commands::=upgrade dist-upgrade",
	"apt-get update", "apt-get check", "apt-get clean", "apt-get -y autoremove", "apt-get -y install bt-many1",
	"apt-get -y remove bt-none", "apt list", "apt-get", "aptitude -s full-upgrade", "unattended-upgrade --dry-run",
	"BYPASS apt-get -y dist-upgrade", "apt-get -y -o RootDir=/mnt dist-upgrade", "apt-get -y -o Apt-Be::Guard=x dist-upgrade",
}

// testExplain checks that apt-be explain predicts where a command runs, and that the log
// of an upgrade is kept.
func testExplain(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Empty)
	defer l.done(t, m)
	for _, line := range explainedLines {
		command, bypass := strings.CutPrefix(line, "BYPASS ")
		args := strings.Fields(command)
		var env []string
		if bypass {
			env = []string{"APT_BE_BYPASS=1"}
		}
		said := m.Run(t, machine.Command{Args: append([]string{"apt-be", "--json", "explain", "--"}, args...), Env: env})
		var told struct {
			Redirect  bool
			Reason    string
			Settings  []struct{ Name, Place string }
			Obstacles []string
		}
		if err := json.Unmarshal([]byte(said.Output), &told); err != nil || said.Status != 0 {
			t.Errorf("explain %s: status %d, %v:\n%s", line, said.Status, err, said.Output)
			continue
		}
		result := m.Run(t, machine.Command{Args: args, Env: append(env, "APT_BE_DEBUG=/run/debug")})
		redirected := strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(result.Output, "apt-be: ", "")), " "), "runs in the new boot environment")
		switch {
		case len(told.Obstacles) > 0:
			if redirected || result.Status == 0 {
				t.Errorf("%s: explain predicts an obstacle, %q; the command ended with %d:\n%s", line, told.Obstacles, result.Status, result.Output)
			}
		case redirected != told.Redirect:
			t.Errorf("%s: redirected is %v; explain says %v, %s:\n%s", line, redirected, told.Redirect, told.Reason, result.Output)
		}
		for _, s := range told.Settings {
			if strings.Contains(line, s.Name+"=") && s.Place != "the command line" {
				t.Errorf("%s: the place of %s is %q", line, s.Name, s.Place)
			}
		}
		if debug := m.Shell(t, "cat /run/debug; rm /run/debug"); told.Reason == "" || len(told.Obstacles) == 0 && !strings.Contains(debug, told.Reason) {
			t.Errorf("%s: the reason is %q, and the debug messages are:\n%s", line, told.Reason, debug)
		}
	}
	offer(t, m, packages.Good)
	m.Shell(t, "apt-get -y dist-upgrade")
	if log := m.Shell(t, "apt-be log"); !strings.Contains(log, "apt-get -y dist-upgrade") || !strings.Contains(log, "verdict      ready: apt-get is done") ||
		!strings.Contains(log, "s   frontend") || !strings.Contains(log, "s   commit") {
		t.Errorf("apt-be log prints:\n%s", log)
	}
}
