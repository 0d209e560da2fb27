package frontend

import (
	"errors"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/aptconf"
)

// configOf parses lines such as "Apt-Be::Redirect=no".
func configOf(t *testing.T, lines ...string) aptconf.Config {
	t.Helper()
	var dump strings.Builder
	for _, line := range lines {
		dump.WriteString(line + "\n")
	}
	conf, err := aptconf.Parse([]byte(dump.String()))
	if err != nil {
		t.Fatal(err)
	}
	return conf
}

// ownSettings returns the settings that the command line makes, as apt-config prints
// them.
func ownSettings(inv Invocation) (lines []string) {
	for _, arg := range inv.ConfigArgs {
		if setting, ok := strings.CutPrefix(arg, "--option="); ok {
			lines = append(lines, setting)
		}
	}
	return lines
}

// TestDecideByCommand has the cases of the decision table that depend on the command
// line.
func TestDecideByCommand(t *testing.T) {
	machine := Env{Root: true}
	for _, test := range []struct {
		frontend Frontend
		verbs    []string
		redirect bool
	}{
		{AptGet, []string{"upgrade", "dist-upgrade", "full-upgrade", "dselect-upgrade"}, true},
		{AptGet, []string{"install|?upgradable", "install|~U", "reinstall|~U", "install|x|~i~nfoo", "install|--only-upgrade|x=2",
			"--only-upgrade|install|x", "install|x|--only-upgrade", "install|--no-only-upgrade|--only-upgrade|x",
			"-o|APT::Get::Only-Upgrade=true|install|x", "install|--newer=option|x|~U", "install|--newer=option|--only-upgrade|x"}, true},
		{Apt, []string{"install|?upgradable", "install|~U", "install|?and(?upgradable,?name(x))", "install|--only-upgrade|x",
			"history-undo|5", "history-redo|5", "history-rollback|5", "history-undo|--newer|5"}, true},
		{Aptitude, []string{"install|~U", "install|?upgradable", "INSTALL|~U+", "install|~i~nfoo", "install|-y|--|~U"}, true},
		{AptGet, []string{"install|--only-upgrade=no|x", "install|--only-upgrade|--no-only-upgrade|x", "remove|--only-upgrade|x",
			"install|~nfoo", "install|!~U", "install|?upgradable-", "remove|~U", "install|--upgrade|x",
			"-o|APT::Get::Only-Upgrade=true|-o|APT::Get::Only-Upgrade=no|install|x", "-o|APT::Get::Only-Upgrade=true|remove|x"}, false},
		{Apt, []string{"history-list", "history-info|5", "why|x", "why-not|x", "list|?upgradable"}, false},
		{Aptitude, []string{"install|~U-", "install|~U_", "reinstall|~U", "remove|~U", "install|x", "install|x+"}, false},
		{Apt, []string{"upgrade", "dist-upgrade", "full-upgrade"}, true},
		{Aptitude, []string{"safe-upgrade", "full-upgrade", "dist-upgrade", "upgrade"}, true},
		{UnattendedUpgrade, []string{"", "-v", "-d", "--debug|-v"}, true},
		{AptGet, []string{"install|x", "remove|x", "purge|x", "autoremove", "reinstall|x", "satisfy|x", "build-dep|x",
			"-f|install", "update", "clean", "autoclean", "check", "download|x", "source|x", "changelog|x", "", "help",
			"install|apt/testing", "-t|testing|install|apt"}, false},
		{Apt, []string{"install|x", "list", "list|--upgradable", "search|upgrade", "show|x", "update", "edit-sources", ""}, false},
		{Aptitude, []string{"", "-u", "-i", "install|x", "update", "search|upgrade", "hold|x"}, false},
	} {
		for _, line := range test.verbs {
			args := strings.Split(line, "|")
			inv := Parse(test.frontend, args)
			conf := configOf(t, ownSettings(inv)...)
			d, err := Decide(inv, conf, machine)
			if err != nil || d.Redirect != test.redirect || d.Warn != nil || d.Reason == "" {
				t.Errorf("%s %q: %+v, %v; want %v", test.frontend, args, d, err, test.redirect)
			}
		}
	}
}

// TestDecideDry combines each option that changes nothing with each upgrade.
func TestDecideDry(t *testing.T) {
	libapt := []string{"-s", "--simulate", "--dry-run", "--just-print", "--no-act", "--recon", "-d", "--download-only",
		"--print-uris", "-h", "--help", "-v", "--version", "-yqd"}
	for _, test := range []struct {
		frontend Frontend
		options  []string
		verbs    []string
	}{
		{AptGet, libapt, []string{"upgrade", "dist-upgrade", "full-upgrade"}},
		{Apt, libapt, []string{"upgrade", "dist-upgrade", "full-upgrade"}},
		{Aptitude, []string{"-s", "--simulate", "-d", "--download-only", "-h", "--help", "--version", "--schedule-only"},
			[]string{"safe-upgrade", "full-upgrade", "dist-upgrade", "upgrade"}},
		{UnattendedUpgrade, []string{"--dry-run", "--download-only", "-h", "--help"}, []string{"-v"}},
	} {
		for _, option := range test.options {
			for _, verb := range test.verbs {
				for _, args := range [][]string{{option, verb}, {verb, option}} {
					inv := Parse(test.frontend, args)
					d, err := Decide(inv, configOf(t), Env{Root: true})
					if err != nil || d.Redirect || !strings.Contains(d.Reason, inv.DryReason) || NeedsConfig(inv, Env{Root: true}) {
						t.Errorf("%s %q: %+v, %v", test.frontend, args, d, err)
					}
				}
			}
		}
	}
}

// TestDecideByMachine has the cases that depend on the machine.
func TestDecideByMachine(t *testing.T) {
	for name, test := range map[string]struct {
		machine                Env
		store                  StoreState
		redirect, warn, config bool
	}{
		"as it should be":    {Env{Root: true}, RootOK, true, false, true},
		"not root":           {Env{}, RootOK, false, false, false},
		"inside":             {Env{Root: true, Inside: true}, RootOK, false, false, false},
		"bypass":             {Env{Root: true, Bypass: true}, RootOK, false, false, false},
		"container":          {Env{Root: true, Container: true}, RootOK, false, false, false},
		"not btrfs":          {Env{Root: true}, NotBtrfs, false, true, true},
		"top level":          {Env{Root: true}, TopLevel, false, true, true},
		"dpkg elsewhere":     {Env{Root: true}, DpkgElsewhere, false, true, true},
		"not examined":       {Env{Root: true}, Unexamined, false, true, true},
		"unknown":            {Env{Root: true}, StoreState(99), false, true, true},
		"inside, not btrfs":  {Env{Root: true, Inside: true}, NotBtrfs, false, false, false},
		"not root, no btrfs": {Env{}, NotBtrfs, false, false, false},
	} {
		inv := Parse(AptGet, []string{"dist-upgrade"})
		d, err := Decide(inv, configOf(t), test.machine)
		d = d.OnRoot(test.store)
		if err != nil || d.Redirect != test.redirect || (d.Warn != nil) != test.warn || d.Reason == "" {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		if NeedsConfig(inv, test.machine) != test.config {
			t.Errorf("%s: needs the configuration: %v", name, !test.config)
		}
	}
}

// TestDecideByConfig has the cases that depend on apt's configuration.
func TestDecideByConfig(t *testing.T) {
	for _, test := range []struct {
		frontend Frontend
		args     string
		conf     string
		redirect bool
	}{
		{AptGet, "dist-upgrade", "Apt-Be::Redirect=no", false},
		{AptGet, "dist-upgrade", "apt-be::redirect=Off", false},
		{AptGet, "dist-upgrade", "Apt-Be::Redirect=1", true},
		{AptGet, "dist-upgrade", "Apt-Be::Redirect::Commands::=upgrade", false},
		{AptGet, "upgrade", "Apt-Be::Redirect::Commands::=upgrade", true},
		{Aptitude, "safe-upgrade", "Apt-Be::Redirect::Commands::=upgrade", true},
		{Aptitude, "upgrade", "Apt-Be::Redirect::Commands::=safe-upgrade", true},
		{AptGet, "upgrade", "Apt-Be::Redirect::Commands::=safe-upgrade", false},
		{AptGet, "dist-upgrade", "Apt-Be::Redirect::Commands::=full-upgrade", true},
		{AptGet, "install|x", "Apt-Be::Redirect::Commands::=install", true},
		{AptGet, "install|x", "Apt-Be::Guard=veto", false},
		{AptGet, "install|x", "APT::Get::Only-Upgrade=yes", true},
		{Aptitude, "install|x", "APT::Get::Only-Upgrade=yes", false},
		{AptGet, "install|~U", "Apt-Be::Redirect::Commands::=upgrade", false},
		{AptGet, "install|~U", "Apt-Be::Redirect::Commands::=only-upgrade", true},
		{AptGet, "install|~U", "Apt-Be::Redirect::Commands::=install", true},
		{AptGet, "install|~U", "Apt-Be::Redirect=no", false},
		{Apt, "history-rollback|5", "Apt-Be::Redirect::Commands::=upgrade", false},
		{Apt, "history-rollback|5", "APT::Get::Simulate=1", false},
		{UnattendedUpgrade, "-v", "Apt-Be::Redirect::Commands::=upgrade", false},
		{AptGet, "dist-upgrade", "APT::Get::Simulate=true", false},
		{Apt, "dist-upgrade", "APT::Get::Download-Only=1", false},
		{Apt, "dist-upgrade", "apt::get::print-uris=yes", false},
		{Apt, "dist-upgrade", "APT::Get::Simulate=perhaps", true},
		{Aptitude, "dist-upgrade", "APT::Get::Simulate=true", true},
		{Aptitude, "dist-upgrade", "Aptitude::CmdLine::Simulate=true", false},
		{Aptitude, "dist-upgrade", "aptitude::simulate=true", false},
		{UnattendedUpgrade, "-v", "APT::Get::Simulate=true", true},
		{UnattendedUpgrade, "-v", "Debug::pkgDPkgPM=true", false},
		{AptGet, "dist-upgrade", "Dir=/mnt/", true},
		{AptGet, "dist-upgrade", "DPkg::Chroot-Directory=/mnt", false},
		{AptGet, "dist-upgrade", "RootDir=/mnt", false},
		{AptGet, "dist-upgrade", "DPkg::Options::=--root=/mnt", false},
		{AptGet, "dist-upgrade", "DPkg::Options::=--force-confold", true},
		{UnattendedUpgrade, "-v", "RootDir=/mnt", true},
	} {
		args := strings.Split(test.args, "|")
		d, err := Decide(Parse(test.frontend, args), configOf(t, test.conf), Env{Root: true})
		if err != nil || d.Redirect != test.redirect || d.Reason == "" {
			t.Errorf("%s %q with %s: %+v, %v; want %v", test.frontend, args, test.conf, d, err, test.redirect)
		}
	}
}

// TestDecideByRoot has the settings that name the root in which apt changes packages.
func TestDecideByRoot(t *testing.T) {
	const (
		here  = "redirected"
		other = "done there"
		alias = "refused"
	)
	isRoot := func(dir string) bool { return dir == "/proc/self/root" || dir == "/proc/1/root" || dir == "/bound" }
	for conf, want := range map[string]string{
		"RootDir=/": here, "RootDir=/./": here, "RootDir=//": here, "RootDir=/x/..": here, "Dir=/": here, "Dir=/mnt": here,
		"RootDir=/mnt": other, "RootDir=/mnt/": other, "DPkg::Chroot-Directory=/mnt": other, "DPkg::Options::=--root=/mnt": other,
		"DPkg::Options::=--root\nDPkg::Options::=/mnt": other,
		"RootDir=/proc/self/root":                      alias, "RootDir=/proc/self/root/": alias, "RootDir=/proc/./self/root": alias, "RootDir=/proc/1/root": alias,
		"RootDir=/bound": alias, "DPkg::Chroot-Directory=/proc/self/root": alias, "DPkg::Options::=--root=/proc/self/root": alias,
		"DPkg::Options::=--root=/mnt\nDPkg::Options::=--root=/bound": alias, "DPkg::Chroot-Directory=/": here, "DPkg::Options::=--root=/": here,
		"DPkg::Options::=--instdir=/mnt": here, "DPkg::Options::=--admindir=/mnt": here,
		"Dir::State::status=/var/lib/dpkg/status": here, "Dir::State::status=/tmp/status": here, "Dir::State=var/lib/apt": here,
		"Dir::Bin::dpkg=/tmp/dpkg": here,
	} {
		machine := Env{Root: true, IsRoot: isRoot}
		d, err := Decide(Parse(AptGet, []string{"dist-upgrade"}), configOf(t, strings.Split(conf, "\n")...), machine)
		got := other
		var e *AliasError
		switch {
		case errors.As(err, &e):
			got = alias
			if !strings.Contains(conf, e.Item) || !strings.Contains(e.Error(), e.Dir) || e.Hint() == "" {
				t.Errorf("%s: %v", conf, err)
			}
		case err != nil:
			t.Errorf("%s: %v", conf, err)
		case d.Redirect:
			got = here
		}
		if got != want {
			t.Errorf("%s: %s, want %s: %+v", conf, got, want, d)
		}
	}
}

// An invalid policy stops upgrades, but not the commands that can repair it.
func TestDecideBadPolicy(t *testing.T) {
	conf := configOf(t, "Apt-Be::Guard=x")
	const want = `cannot read Apt-Be::Guard: "x" is not one of snapshot, veto, off`
	if d, err := Decide(Parse(AptGet, []string{"upgrade"}), conf, Env{Root: true}); err == nil || err.Error() != want {
		t.Errorf("upgrade: %+v, %v", d, err)
	}
	d, err := Decide(Parse(AptGet, []string{"purge", "apt-be"}), conf, Env{Root: true})
	if err != nil || d.Redirect || d.Warn == nil || d.Warn.Error() != want {
		t.Errorf("purge: %+v, %v", d, err)
	}
	if d, err := Decide(Parse(AptGet, []string{"-s", "upgrade"}), conf, Env{Root: true}); err != nil || d.Redirect {
		t.Errorf("-s upgrade: %+v, %v", d, err)
	}
}

// If NeedsConfig returns false, the configuration has no influence.
func TestNeedsConfig(t *testing.T) {
	configs := []aptconf.Config{configOf(t), configOf(t, "Apt-Be::Guard=x"), configOf(t, "Apt-Be::Redirect::Commands::=install")}
	for _, frontend := range Frontends() {
		for _, line := range realCorpus(frontend) {
			inv := Parse(frontend, strings.Split(line, "|"))
			for _, machine := range []Env{{}, {Root: true}, {Root: true, Inside: true}, {Root: true, Bypass: true}} {
				if NeedsConfig(inv, machine) {
					continue
				}
				for _, conf := range configs {
					if d, err := Decide(inv, conf, machine); err != nil || d.Redirect || d.Warn != nil {
						t.Errorf("%s %q on %+v: %+v, %v", frontend, line, machine, d, err)
					}
				}
			}
		}
	}
}
