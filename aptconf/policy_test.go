package aptconf

import (
	"slices"
	"testing"
)

func TestPolicy(t *testing.T) {
	for _, test := range []struct {
		dump string
		want Policy
	}{
		{"", Policy{true, DefaultCommands(), GuardSnapshot}},
		{"Apt-Be::Redirect=no\n", Policy{false, DefaultCommands(), GuardSnapshot}},
		{"Apt-Be::Redirect=\nApt-Be::Redirect::Commands=\nApt-Be::Redirect::Commands::=install\nApt-Be::Redirect::Commands::=upgrade\n",
			Policy{true, []string{"install", "upgrade"}, GuardSnapshot}},
		{"Apt-Be::Redirect::Commands=upgrade,%20full-upgrade\n", Policy{true, []string{"upgrade", "full-upgrade"}, GuardSnapshot}},
		{"Apt-Be::Guard=veto\n", Policy{true, DefaultCommands(), GuardVeto}},
		{"apt-be::GUARD=off\n", Policy{true, DefaultCommands(), GuardOff}},
	} {
		p, err := mustParse(t, test.dump).Policy()
		if err != nil || p.Redirect != test.want.Redirect || p.Guard != test.want.Guard || !slices.Equal(p.Commands, test.want.Commands) {
			t.Errorf("%q: %+v, %v; want %+v", test.dump, p, err, test.want)
		}
	}
}

func TestPolicyRefuses(t *testing.T) {
	for dump, want := range map[string]string{
		"Apt-Be::Guard=x\n":                      `cannot read Apt-Be::Guard: "x" is none of snapshot, veto, off`,
		"Apt-Be::Redirect=perhaps\n":             `cannot read Apt-Be::Redirect: "perhaps" is neither yes nor no`,
		"Apt-Be::Redirect::Commands::=upgarde\n": `cannot read Apt-Be::Redirect::Commands: "upgarde" is no command that changes packages`,
		"Apt-Be::Redirect::Commands::=\n":        `cannot read Apt-Be::Redirect::Commands: "" is no command that changes packages`,
		"Apt-Be::Redirect::Commands::=update\n":  `cannot read Apt-Be::Redirect::Commands: "update" is no command that changes packages`,
	} {
		if p, err := mustParse(t, dump).Policy(); err == nil || err.Error() != want {
			t.Errorf("%q: %+v, %v", dump, p, err)
		}
	}
}

func TestOtherRoot(t *testing.T) {
	for dump, want := range map[string]string{
		"": "", "RootDir=/\n": "", "Dir=/mnt\n": "", "DPkg::Chroot-Directory=/\n": "", "DPkg::Options::=--instdir=/mnt\n": "",
		"RootDir=/mnt/\n": "/mnt", "DPkg::Chroot-Directory=/mnt\n": "/mnt",
		"RootDir=/a\nDPkg::Chroot-Directory=/b\n":                      "/a/b",
		"DPkg::Options::=--root=/mnt\n":                                "/mnt",
		"DPkg::Options::=--root=/mnt\nDPkg::Options::=--root=/\n":      "",
		"DPkg::Options::=--force-confold\nDPkg::Options::=--root=x/\n": "/x",
	} {
		dir, other := mustParse(t, dump).OtherRoot()
		if other != (want != "") || other && dir != want {
			t.Errorf("%q: %q, %v; want %q", dump, dir, other, want)
		}
	}
}
