package btrfs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// reaching is a script that makes an archive of one package in /srv/net. The package's
// scripts and debconf questions record in /var/log/reach whether they reach a server of
// the running system.
const reaching = `mkdir -p /srv/net/tree/DEBIAN && cd /srv/net
for script in preinst postinst config; do cat >tree/DEBIAN/$script <<END
#!/bin/sh
if perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(PeerAddr => "ADDRESS", Timeout => 9)'
then echo $script reaches it; else echo $script does not; fi >>/var/log/reach
[ $script != postinst ] || . /usr/share/debconf/confmodule
END
chmod 755 tree/DEBIAN/$script; done
printf 'Template: bt-reach/text\nType: note\nDescription: a note\n A note.\n' >tree/DEBIAN/templates
make() {
	printf 'Package: bt-reach\nVersion: %s\nArchitecture: all\nMaintainer: apt-be tests <root@localhost>\nDepends: debconf\nDescription: a test\n' $1 >tree/DEBIAN/control
	dpkg-deb -b tree bt-reach_$1_all.deb >/dev/null
}
make 1; dpkg -i bt-reach_1_all.deb; rm bt-reach_1_all.deb /var/log/reach; make 2
{ dpkg-deb -f bt-reach_2_all.deb; echo "Filename: ./bt-reach_2_all.deb"; echo "Size: $(stat -c %s bt-reach_2_all.deb)"
echo "SHA256: $(sha256sum bt-reach_2_all.deb | cut -d ' ' -f 1)"; } >Packages
rm -f /etc/apt/sources.list.d/*; echo 'deb [trusted=yes] http://ADDRESS/ ./' >/etc/apt/sources.list; apt-get -q update`

// testNetwork has apt download from a server that only the running system's network
// has. The package's scripts try to reach it.
func testNetwork(t *testing.T, l lab) {
	dir := t.TempDir()
	web := serve(t, dir)
	m := l.Start(t, with, running)
	defer l.done(t, m)
	fill := strings.ReplaceAll(reaching, "ADDRESS", web.address)
	before, update, _ := strings.Cut(fill, "rm -f /etc/apt/sources.list.d")
	m.Shell(t, before)
	if err := os.CopyFS(dir, os.DirFS(m.Path("/srv/net"))); err != nil {
		t.Fatal(err)
	}
	m.Shell(t, "rm -f /etc/apt/sources.list.d"+update)
	const all, none = "config reaches it\npostinst reaches it\npreinst reaches it", "config does not\npostinst does not\npreinst does not"
	for _, c := range []struct{ name, setting, want string }{
		{"download", "", none},
		{"full", "Apt-Be::Sandbox::Network \"full\";\n", all},
	} {
		m.WriteFile(t, "/etc/apt/apt.conf.d/99network", c.setting)
		m.Shell(t, "apt-be dist-upgrade --name "+c.name+" -qy; rm /var/cache/apt/archives/bt-*.deb")
		read := []string{"apt-be", "run", "--read-only", c.name, "--", "sort", "-u", "/var/log/reach"}
		if got := m.Run(t, machine.Command{Args: read}); strings.TrimSpace(got.Output) != c.want {
			t.Errorf("%s: %q, want %q", c.name, got.Output, c.want)
		}
		// Without a setting of its own, it has that of the files: dpkg ends the network
		// for it, too.
		m.Shell(t, "apt-be run "+c.name+" -- sh -c 'rm /var/log/reach; cd /srv/net; dpkg -i bt-reach_2_all.deb'")
		want := strings.TrimPrefix(c.want, "config reaches it\n")
		want = strings.TrimPrefix(want, "config does not\n")
		if got := m.Run(t, machine.Command{Args: read}); !strings.HasSuffix(strings.TrimSpace(got.Output), want) {
			t.Errorf("%s, by dpkg: %q, want %q", c.name, got.Output, want)
		}
	}
	m.WriteFile(t, "/etc/apt/apt.conf.d/99network", "\nApt-Be::Sandbox::Network \"none\";\n")
	const wrong = `cannot read Apt-Be::Sandbox::Network: "none" is not one of download, full (/etc/apt/apt.conf.d/99network:2)`
	for _, command := range []string{"apt-get -qy dist-upgrade", "apt-be dist-upgrade -qy", "apt-be run download -- true"} {
		result := m.Run(t, machine.Command{Args: strings.Fields(command)})
		if result.Status == 0 || !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(result.Output, "apt-be: ", "")), " "), wrong) {
			t.Errorf("%s: status %d: %s", command, result.Status, result.Output)
		}
	}
}
