package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// cacheDir is apt's package cache.
const cacheDir = "/var/cache/apt/archives"

// attack changes apt's package cache as a hostile maintainer script could.
const attack = `#!/usr/bin/python3
import os, shutil, sys
cache = sys.argv[1] if len(sys.argv) > 1 else "` + cacheDir + `"
os.chdir(cache)
def attempt(do, *args):
    try:
        do(*args)
    except OSError as err:
        print("attack:", err)
attempt(os.rename, "partial", "was-partial")
attempt(os.symlink, "/etc", "partial")
attempt(os.unlink, "lock")
attempt(os.symlink, "/etc/passwd", "lock")
for name in ("sh", "sh_1_all.deb"):
    shutil.copy("/bin/sh", name)
    os.chown(name, 0, 0)
    os.chmod(name, 0o4755)
for name in ("bt-app_2.0_all.deb", "bt-conf_2.0_all.deb"):
    if os.path.exists(name):
        data = bytearray(open(name, "rb").read())
        data[-1] ^= 1
        open(name, "wb").write(data)
attempt(os.mkfifo, "bt-many6_2.0_all.deb")
attempt(os.symlink, "/dev/null", "bt-many7_2.0_all.deb")
attempt(os.link, "/srv/attack", "bt-many8_2.0_all.deb")
attempt(os.mknod, "bt-many9_2.0_all.deb", 0o20666, os.makedev(1, 3))
attempt(os.mkdir, "bt-many10_2.0_all.deb")
for n in range(10000):
    open("x%d_1_all.deb" % n, "w").close()
for name in ("bt-many1_2.0_all.deb", "bt-many2_2.0_all.deb"):
    if os.path.exists(name):
        os.unlink(name)
        break
print("attacked", flush=True)
`

// testArchives checks that packages downloaded in a sandbox get into the running
// system's package cache, and no other files do.
func testArchives(t *testing.T, l lab) {
	t.Run("hostile scripts", func(t *testing.T) { testHostileArchives(t, l) })
	t.Run("given up", func(t *testing.T) { testGivenUpArchives(t, l) })
	t.Run("removed after the installation", func(t *testing.T) { testRemovedArchives(t, l) })
	for _, c := range []struct{ name, prepare, dir, option string }{
		{"in memory", "mount -t tmpfs none " + cacheDir, cacheDir, ""},
		{"below another mount", "mount -t tmpfs none /var/cache/apt; mkdir /var/cache/apt/archives", cacheDir, ""},
		{"by a link", "rm -r " + cacheDir + "; mkdir /srv/debs; ln -s /srv/debs " + cacheDir, "/srv/debs", ""},
		{"by a setting", "mkdir -p /srv/debs/partial", "/srv/debs", "-o Dir::Cache::archives=/srv/debs"},
		{"by a setting, in memory", "mkdir /srv/debs; mount -t tmpfs none /srv/debs; mkdir /srv/debs/partial", "/srv/debs", "-o Dir::Cache::archives=/srv/debs"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := l.copying(t, packages.Good)
			defer l.done(t, m)
			m.Shell(t, c.prepare)
			a := archives{T: t, Machine: m, dir: c.dir}
			a.upgrade(0, strings.Fields(c.option)...)
			checkUpgraded(t, l, m, "")
			a.holds(11)
			a.elsewhereClean(l)
		})
	}
}

// copying starts a machine whose packages must be downloaded.
func (l lab) copying(t *testing.T, archive packages.Variant) *machine.Machine {
	m := l.Start(t, with, running)
	m.WriteFile(t, "/etc/apt/sources.list", "deb [trusted=yes] copy:"+packages.Dir+"/"+string(archive)+" ./\n")
	m.Shell(t, "rm -f "+cacheDir+"/*.deb; apt-get -q update")
	return m
}

// archives is a machine with a package cache.
type archives struct {
	*testing.T
	*machine.Machine
	dir string
}

func (a archives) upgrade(status int, options ...string) string {
	a.T.Helper()
	result := a.Machine.Run(a.T, machine.Command{Args: append([]string{"apt-get", "-y", "dist-upgrade"}, options...)})
	if result.Status != status {
		a.Errorf("status %d, want %d:\n%s", result.Status, status, result.Output)
	}
	return result.Output
}

// holds checks that the cache contains this number of packages, each equal to its file
// in a repository, and no other files.
func (a archives) holds(want int) {
	a.T.Helper()
	found := 0
	for _, line := range strings.Split(strings.TrimSpace(a.Shell(a.T, "find "+a.dir+` -mindepth 1 -printf '%P %y %m %U:%G %n\n'`)), "\n") {
		fields := strings.Fields(line)
		switch name := fields[0]; {
		case name == "lock" && line == "lock f 640 0:0 1", name == "partial" && fields[1] == "d":
		case strings.HasSuffix(name, "_all.deb") && strings.HasSuffix(line, " f 644 0:0 1"):
			found++
			if a.Shell(a.T, "find /srv/*/ -name "+name+" -exec cmp -s "+a.dir+"/"+name+" {} \\; ! -path '"+a.dir+"/*' -print") == "" {
				a.Errorf("%s/%s is not what a repository has", a.dir, name)
			}
		default:
			a.Errorf("%s holds %q", a.dir, line)
		}
	}
	if found != want {
		a.Errorf("%s holds %d packages, want %d", a.dir, found, want)
	}
}

// elsewhereClean checks that no environment has other package files than its base, and
// that no scratch files are left.
func (a archives) elsewhereClean(l lab) {
	a.T.Helper()
	list := func(pattern string) string {
		found, err := filepath.Glob(l.Path(pattern))
		if err != nil {
			a.Fatal(err)
		}
		return strings.ReplaceAll(strings.Join(found, "\n"), "/@be-base/", "/@be/")
	}
	for _, dir := range []string{a.dir, cacheDir} {
		if was, is := list("@be-base/*"+dir+"/*"), list("@be/*"+dir+"/*"); was != is {
			a.Errorf("in %s there are\n%s\nand were\n%s", dir, is, was)
		}
	}
	if left := list("@apt-be/scratch/*/*"); left != "" {
		a.Errorf("left:\n%s", left)
	}
}

// testHostileArchives upgrades to a package whose script attacks the cache, and runs
// the same script by apt-be run.
func testHostileArchives(t *testing.T, l lab) {
	m := l.copying(t, packages.Good)
	defer l.done(t, m)
	a := archives{T: t, Machine: m, dir: cacheDir}
	m.WriteFile(t, "/srv/attack", attack)
	m.Shell(t, `chmod 755 /srv/attack
cp -r `+goodDir+` /srv/repo
mkdir -p /tmp/deb/DEBIAN
printf 'Package: bt-fault\nVersion: 3.0\nArchitecture: all\nMaintainer: x <x@localhost>\nDescription: x\n' >/tmp/deb/DEBIAN/control
printf '#!/bin/sh\nexec /srv/attack\n' >/tmp/deb/DEBIAN/postinst; chmod 755 /tmp/deb/DEBIAN/postinst
dpkg-deb -b -Zgzip /tmp/deb /srv/repo/bt-fault_3.0_all.deb
cd /srv/repo; rm Release
{ cat /tmp/deb/DEBIAN/control; echo "Filename: ./bt-fault_3.0_all.deb"; echo "Size: $(stat -c %s bt-fault_3.0_all.deb)"; echo "SHA256: $(sha256sum bt-fault_3.0_all.deb | cut -d' ' -f1)"; echo; } >>Packages
echo 'deb [trusted=yes] copy:/srv/repo ./' >/etc/apt/sources.list
apt-get -q update
apt-get -qy -d install bt-conf`) // one exists already
	a.holds(1)
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	said := a.upgrade(0)
	if !strings.Contains(said, "attacked") {
		t.Errorf("no attack:\n%s", said)
	}
	checkUpgraded(t, l, m, "")
	a.holds(9)
	for _, name := range []string{"bt-app_2.0_all.deb", "bt-many1_2.0_all.deb"} {
		if _, err := os.Lstat(m.Path(cacheDir + "/" + name)); !os.IsNotExist(err) {
			t.Errorf("%s was changed, or removed, and is in the cache: %v", name, err)
		}
	}
	name := environments(t, m)[0].Name
	if said := m.Shell(t, "apt-be run "+name+" -- /srv/attack 2>&1"); !strings.Contains(said, "attacked") {
		t.Errorf("no attack:\n%s", said)
	}
	a.holds(8)
	a.elsewhereClean(l)
	m.Shell(t, "apt-get clean")
	a.holds(0)
	checkUntouched(t, m, before, mounts, frontends()[0])
}

// testGivenUpArchives aborts an upgrade: the next one has nothing to download.
func testGivenUpArchives(t *testing.T, l lab) {
	m := l.copying(t, packages.SlowPreinst)
	defer l.done(t, m)
	a := archives{T: t, Machine: m, dir: cacheDir}
	result := interruptedInNap(t, m, frontends()[0])
	for _, e := range environments(t, m) {
		if e.State == "ready" {
			t.Errorf("%s is ready:\n%s", e.Name, result.Output)
		}
	}
	a.holds(11)
	a.elsewhereClean(l)
	if missing := m.Shell(t, "apt-get -qq --print-uris -o Apt-Be::Redirect=no dist-upgrade"); missing != "" {
		t.Errorf("to be downloaded:\n%s", missing)
	}
}

// testRemovedArchives checks that unattended-upgrade removes the packages that it has
// installed, and that a later download for an environment is in the running system's
// cache.
func testRemovedArchives(t *testing.T, l lab) {
	m := l.copying(t, packages.Good)
	defer l.done(t, m)
	a := archives{T: t, Machine: m, dir: cacheDir}
	m.Shell(t, "apt-get -qy -d dist-upgrade -o Apt-Be::Redirect=no")
	a.holds(11)
	if result := m.Run(t, frontends()[3].quiet()); result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	a.holds(2) // it installs no new library, so no bt-app
	m.Shell(t, "apt-be run "+environments(t, m)[0].Name+" -- apt-get -qy --reinstall install bt-many2")
	a.holds(3)
	a.elsewhereClean(l)
}
