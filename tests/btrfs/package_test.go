package btrfs_test

import (
	"os"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testPackage checks that installing and purging apt-be leaves no trace, and that the
// programs that it wraps can be upgraded meanwhile.
func testPackage(t *testing.T, l lab) {
	t.Run("installed and purged", func(t *testing.T) { testInstallPurge(t, l) })
	t.Run("apt upgraded in the running root", func(t *testing.T) { testAptInPlace(t, l) })
	t.Run("apt upgraded in a boot environment", func(t *testing.T) { testAptRedirected(t, l) })
}

// dpkgTraces are the traces that dpkg keeps of every package.
func dpkgTraces() []string {
	return []string{
		"/var/lib/dpkg/available",
		"/var/lib/dpkg/available-old",
		"/var/lib/dpkg/diversions", // the same content in a new file
		"/var/lib/dpkg/diversions-old",
		"/var/lib/dpkg/lock",
		"/var/lib/dpkg/lock-frontend",
		"/var/lib/dpkg/status", // the stanza of apt-be says "not installed", or is missing
		"/var/lib/dpkg/status-old",
		"/var/lib/dpkg/triggers/Lock",
		"/var/log/dpkg.log",
	}
}

func testInstallPurge(t *testing.T, l lab) {
	m := l.system(t, plain, running, packages.Good)
	defer l.done(t, m)
	state := func() machine.Fingerprint {
		prints := m.Fingerprint(t).Without(dpkgTraces()...)
		for name, is := range prints {
			if strings.HasPrefix(is, "d") { // files were created and deleted in it, so its time is ignored
				prints[name] = machine.Fingerprint{name: is}.Timeless()[name]
			}
		}
		return prints
	}
	m.WriteFile(t, "/srv/apt-be.deb", "")
	before := state()

	data, err := os.ReadFile(l.builtPackage(t))
	if err != nil {
		t.Fatal(err)
	}
	installed := "/run/apt-be.deb" // of the machine, not of its root
	m.WriteFile(t, "/srv/apt-be.deb", string(data))
	m.Shell(t, "cp /srv/apt-be.deb "+installed+"; dpkg -i "+installed)
	if out := m.Shell(t, "dpkg-divert --list '/usr/bin/*' | grep 'by apt-be$' | wc -l; readlink -f /usr/bin/aptitude"); out != "4\n/usr/bin/apt-be\n" {
		t.Errorf("installed, the diversions and aptitude are %q", out)
	}
	for _, f := range frontends() {
		m.Shell(t, f.command+" --version || "+f.command+" --help")
	}
	m.Shell(t, "dpkg -r apt-be")
	m.Shell(t, "dpkg -P apt-be; : >/srv/apt-be.deb; touch -r /srv/bt /srv/apt-be.deb")
	times := before["/srv/apt-be.deb"]
	after := state()
	after["/srv/apt-be.deb"] = times
	if diff := before.Diff(after); len(diff) > 0 {
		t.Errorf("installed and purged, apt-be left:\n%s", strings.Join(diff, "\n"))
	}
	if result := m.Run(t, frontends()[0].quiet()); result.Status != 0 || strings.Contains(result.Output, "apt-be") {
		t.Errorf("apt-get afterwards: status %d:\n%s", result.Status, result.Output)
	}
	if version := m.Shell(t, "dpkg-query -W -f '${Version}' bt-app"); version != "2.0" {
		t.Errorf("apt-get afterwards left bt-app at %s", version)
	}
}

// newerApt makes an archive with a newer version of the machine's apt. The new apt-get
// has a different end.
const newerApt = `
mkdir -p /srv/bt/apt /tmp/apt/DEBIAN
dpkg -L apt | grep ^/ | while read -r file; do
	real=$(dpkg-divert --truename "$file")
	if [ -d "$real" ]; then
		mkdir -p "/tmp/apt$file"
	else
		mkdir -p "/tmp/apt${file%/*}"
		cp -a "$real" "/tmp/apt$file"
	fi
done
printf newer >>/tmp/apt/usr/bin/apt-get
for file in /var/lib/dpkg/info/apt.*; do
	case ${file##*.} in
	list | md5sums) ;;
	*) cp "$file" "/tmp/apt/DEBIAN/${file##*.}" ;;
	esac
done
dpkg-query -s apt |
	awk '/^[^ ]/ { keep = !/^(Status|Conffiles):/ } keep { if (/^Version:/) $0 = $0 "+bt1"; print }' >/tmp/apt/DEBIAN/control
dpkg-deb --build --root-owner-group -Zgzip /tmp/apt /srv/bt/apt/apt.deb
cd /srv/bt/apt
apt-ftparchive packages . >Packages
echo 'deb [trusted=yes] file:/srv/bt/apt ./' >/etc/apt/sources.list
apt-get -q update
`

// isNewer reports whether a file is newerApt's apt-get.
func isNewer(t *testing.T, l lab, name string) bool {
	t.Helper()
	data, err := os.ReadFile(l.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.HasSuffix(string(data), "newer")
}

func testAptInPlace(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, newerApt)
	m.Shell(t, "apt-get -y install apt")
	kept := environments(t, m) // the earlier root
	if !isNewer(t, l, running+"/usr/bin/apt-get.distrib") || isNewer(t, l, running+"/usr/bin/apt-get") {
		t.Errorf("the newer apt-get is not where it is diverted to")
	}
	offer(t, m, packages.Good)
	if result := m.Run(t, frontends()[0].quiet()); result.Status != 0 {
		t.Errorf("the next upgrade: status %d:\n%s", result.Status, result.Output)
	}
	if found := environments(t, m); len(found) != len(kept)+1 {
		t.Errorf("boot environments %v, before the upgrade %v", found, kept)
	}
}

func testAptRedirected(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, newerApt)
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	if result := m.Run(t, frontends()[0].quiet()); result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	found := environments(t, m)
	if len(found) != 1 || found[0].State != "ready" {
		t.Fatalf("boot environments %v, want one that is ready", found)
	}
	root := "@be/" + found[0].Name
	if !isNewer(t, l, root+"/usr/bin/apt-get.distrib") || isNewer(t, l, root+"/usr/bin/apt-get") {
		t.Errorf("the newer apt-get is not where it is diverted to")
	}
	m.Stop(t)
	booted := l.Boot(t, root)
	defer booted.Stop(t)
	booted.Shell(t, "apt-get --version; apt-get -s dist-upgrade; dpkg --verify apt-be")
}
