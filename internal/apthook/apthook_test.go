package apthook

import (
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// hookText is the output of apt 2.6 and 3.0, without most of the configuration.
const hookText = `VERSION 3
APT::Architecture=amd64
APT::Default-Release=
Apt-Be::Guard=snap%20shot=100%25
CommandLine::AsString=apt-get%20install%20%20hostname
apt-be::Redirect::Commands::=upgrade
APT-BE::Redirect::Commands::=dist-upgrade
Apt-Between::Us=no
DPkg::Pre-Install-Pkgs::=/usr/lib/apt-be/guard%20--now

hostname 3.23+nmu1 amd64 none < 3.25 amd64 none /var/cache/apt/archives/hostname_3.25_amd64.deb
fresh - - none < 1.0 all none /var/cache/apt/archives/fresh_1.0_all.deb
older 2.0 all none > 1.0 all none /var/cache/apt/archives/older_1.0_all.deb
again 2.0 all none = 2.0 all none /var/cache/apt/archives/again_2.0_all.deb
gone 1.0 all none > - - none **REMOVE**
cut off
`

func TestRead(t *testing.T) {
	in, err := Read(strings.NewReader(hookText))
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Packages) != 5 || in.Occasion() != "hostname was upgraded in the running system" || !slices.Equal(in.Command(), []string{"apt-get", "install", "hostname"}) {
		t.Errorf("it is %q, %q of %q", in.Command(), in.Occasion(), in.Packages)
	}
	if !slices.Equal(in.Upgrades, []string{"hostname"}) {
		t.Errorf("upgrades are %q, want hostname", in.Upgrades)
	}
	const archives = "/var/cache/apt/archives/"
	unpacked := []diskspace.Archive{
		{Binary: pkgdb.Binary{Package: "hostname", Version: "3.25", Arch: "amd64"}, File: archives + "hostname_3.25_amd64.deb"},
		{Binary: pkgdb.Binary{Package: "fresh", Version: "1.0", Arch: "all"}, File: archives + "fresh_1.0_all.deb"},
		{Binary: pkgdb.Binary{Package: "older", Version: "1.0", Arch: "all"}, File: archives + "older_1.0_all.deb"},
		{Binary: pkgdb.Binary{Package: "again", Version: "2.0", Arch: "all"}, File: archives + "again_2.0_all.deb"},
	}
	if !slices.Equal(in.Archives, unpacked) {
		t.Errorf("what is unpacked is %v, want %v", in.Archives, unpacked)
	}
	if got := in.Config.String("Apt-Be::Guard", ""); got != "snap shot=100%" {
		t.Errorf("Apt-Be::Guard is %q", got)
	}
	if got := in.Config.List("Apt-Be::Redirect::Commands"); !slices.Equal(got, []string{"upgrade", "dist-upgrade"}) {
		t.Errorf("Apt-Be::Redirect::Commands are %q", got)
	}
	if got := in.Config.String("APT::Architecture", "none"); got != "none" {
		t.Errorf("APT::Architecture is %q, want what is not apt-be's left out", got)
	}
}

func TestUpgradesInSteps(t *testing.T) {
	for line, want := range map[string]bool{
		"/usr/bin/python3 /usr/bin/unattended-upgrade":                    true,
		"/usr/bin/python3 /usr/bin/unattended-upgrade.distrib --verbose":  true,
		"/usr/bin/python3 /usr/share/unattended-upgrades/shutdown-helper": false,
		"/usr/libexec/packagekitd":                                        false,
		"apt-get install unattended-upgrades":                             true, // harmless: it is a single run
	} {
		if got := UpgradesInSteps(strings.Fields(line)); got != want {
			t.Errorf("UpgradesInSteps(%q) = %v", line, got)
		}
	}
}

func TestReadInvalid(t *testing.T) {
	for _, text := range []string{"", "\n", "VERSION 2\n", "VERSION 4\n\n", "/var/cache/apt/archives/a.deb\n"} {
		_, err := Read(strings.NewReader(text))
		if err == nil || err.Error() != "cannot read apt's hook protocol: the first line is not VERSION 3" {
			t.Errorf("Read(%q) = %v", text, err)
		}
	}
	if in, err := Read(strings.NewReader("VERSION 3\n")); err != nil || len(in.Upgrades) != 0 {
		t.Errorf("ReadHookInput without packages = %+v, %v", in, err)
	}
	if _, err := Read(strings.NewReader("VERSION 3\nApt-Be::Guard=%zz\n\n")); err == nil {
		t.Error("ReadHookInput took a bad escape")
	}
}
