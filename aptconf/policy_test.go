package aptconf

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestPolicy(t *testing.T) {
	for _, test := range []struct {
		dump string
		want Policy
	}{
		{"", shipped(func(*Policy) {})},
		{"Apt-Be::Redirect=no\n", shipped(func(p *Policy) { p.Redirect = false })},
		{"Apt-Be::Activate=no\n", shipped(func(p *Policy) { p.Activate = false })},
		{"Apt-Be::Speed=off\n", shipped(func(p *Policy) { p.Speed = Speed{} })},
		{"Apt-Be::Speed::No-Sync=no\n", shipped(func(p *Policy) { p.Speed.NoSync = false })},
		{"Apt-Be::Speed=no\nApt-Be::Speed::Dedupe=yes\n", shipped(func(p *Policy) { p.Speed = Speed{Dedupe: true} })},
		{"Apt-Be::Deadline=90\n", shipped(func(p *Policy) { p.Deadline = 90 * time.Second })},
		{"Apt-Be::Redirect=\nApt-Be::Redirect::Commands=\nApt-Be::Redirect::Commands::=install\nApt-Be::Redirect::Commands::=upgrade\n",
			shipped(func(p *Policy) { p.Commands = []string{"install", "upgrade"} })},
		{"Apt-Be::Redirect::Commands=upgrade,%20full-upgrade\n", shipped(func(p *Policy) { p.Commands = []string{"upgrade", "full-upgrade"} })},
		{"Apt-Be::Guard=veto\n", shipped(func(p *Policy) { p.Guard = GuardVeto })},
		{"apt-be::GUARD=off\n", shipped(func(p *Policy) { p.Guard = GuardOff })},
	} {
		p, err := mustParse(t, test.dump).Policy()
		if err != nil || !reflect.DeepEqual(p, test.want) {
			t.Errorf("%q: %+v, %v; want %+v", test.dump, p, err, test.want)
		}
	}
}

// shipped returns the policy of an empty configuration, changed by edit.
func shipped(edit func(*Policy)) Policy {
	p := Policy{Redirect: true, Commands: DefaultCommands(), Guard: GuardSnapshot, Activate: true, Deadline: DefaultDeadline,
		Speed: Speed{NoSync: true, Predecompress: true, OneInitramfs: true, SkipUnchanged: true, Dedupe: true}}
	edit(&p)
	return p
}

func TestNetwork(t *testing.T) {
	for dump, want := range map[string]string{
		"": NetworkDownload, "Apt-Be::Sandbox::Network=\n": NetworkDownload,
		"Apt-Be::Sandbox::Network=download\n": NetworkDownload, "Apt-Be::Sandbox::Network=full\n": NetworkFull,
	} {
		if got, err := mustParse(t, dump).Network(); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", dump, got, err, want)
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	for dump, want := range map[string]string{
		"Apt-Be::Guard=x\n":                      `cannot read Apt-Be::Guard: "x" is not one of snapshot, veto, off`,
		"Apt-Be::Sandbox::Network=none\n":        `cannot read Apt-Be::Sandbox::Network: "none" is not one of download, full`,
		"Apt-Be::Activate=perhaps\n":             `cannot read Apt-Be::Activate: "perhaps" is neither yes nor no`,
		"Apt-Be::Speed=fast\n":                   `cannot read Apt-Be::Speed: "fast" is neither yes nor no`,
		"Apt-Be::Speed::Dedupe=x\n":              `cannot read Apt-Be::Speed::Dedupe: "x" is neither yes nor no`,
		"Apt-Be::Deadline=soon\n":                `cannot read Apt-Be::Deadline: "soon" is not a number of seconds from 30 to 65000`,
		"Apt-Be::Deadline=3\n":                   `cannot read Apt-Be::Deadline: "3" is not a number of seconds from 30 to 65000`,
		"Apt-Be::Redirect=perhaps\n":             `cannot read Apt-Be::Redirect: "perhaps" is neither yes nor no`,
		"Apt-Be::Redirect::Commands::=upgarde\n": `cannot read Apt-Be::Redirect::Commands: "upgarde" is not a command that changes packages`,
		"Apt-Be::Redirect::Commands::=\n":        `cannot read Apt-Be::Redirect::Commands: "" is not a command that changes packages`,
		"Apt-Be::Redirect::Comands::=update\n":   `cannot read Apt-Be::Redirect::Comands: there is no such setting; Apt-Be::Redirect::Commands is one`,
		"Apt-Be::Redirect::Commands::=update\n":  `cannot read Apt-Be::Redirect::Commands: "update" is not a command that changes packages`,
	} {
		if p, err := mustParse(t, dump).Policy(); err == nil || err.Error() != want {
			t.Errorf("%q: %+v, %v", dump, p, err)
		}
	}
}

func TestOtherRoot(t *testing.T) {
	for dump, want := range map[string]string{
		"": "", "RootDir=/\n": "", "Dir=/mnt\n": "", "DPkg::Chroot-Directory=/\n": "", "DPkg::Options::=--instdir=/mnt\n": "",
		"RootDir=/./\n": "", "RootDir=//\n": "", "DPkg::Chroot-Directory=/..\n": "", "RootDir=/proc/self/root\n": "/proc/self/root",
		"DPkg::Options::=--root\nDPkg::Options::=/mnt\n": "/mnt", "DPkg::Options::=--root\nDPkg::Options::=--root\n": "/--root",
		"RootDir=/mnt/\n": "/mnt", "DPkg::Chroot-Directory=/mnt\n": "/mnt",
		"RootDir=/a\nDPkg::Chroot-Directory=/b\n":                      "/a/b",
		"DPkg::Options::=--root=/mnt\n":                                "/mnt",
		"DPkg::Options::=--root=/mnt\nDPkg::Options::=--root=/\n":      "",
		"DPkg::Options::=--force-confold\nDPkg::Options::=--root=x/\n": "/x",
	} {
		dir, item, other := mustParse(t, dump).OtherRoot()
		if other != (want != "") || other && (dir != want || !strings.Contains(dump, item)) {
			t.Errorf("%q: %q by %s, %v; want %q", dump, dir, item, other, want)
		}
	}
}
