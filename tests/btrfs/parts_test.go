package btrfs_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testParts upgrades systems that have packages' files outside of the root subvolume.
func testParts(t *testing.T, l lab) {
	t.Run("subvolumes", func(t *testing.T) { testPartSubvolumes(t, l) })
	t.Run("outside", func(t *testing.T) { testOutside(t, l) })
	if *nightly {
		t.Run("var", func(t *testing.T) { testPartVar(t, l) })
	}
}

// placed starts a system with the package Places installed.
func placed(t *testing.T, l lab) *machine.Machine {
	t.Helper()
	m := l.system(t, with, running, packages.Installed)
	m.Shell(t, "apt-get -qy install "+packages.Places)
	offer(t, m, packages.Good)
	return m
}

// moveOut is a script that moves $1 to the subvolume @$2 and mounts that at $1 by the
// fstab.
const moveOut = `mount -t btrfs -o subvol=@$2 $DEVICE /mnt
cp -a --reflink=auto $1/. /mnt/
umount /mnt
mount -t btrfs -o nodev,subvol=@$2 $DEVICE $1
echo "$DEVICE $1 btrfs nodev,subvol=@$2 0 0" >>/etc/fstab
`

// listing prints every file on the mounts with its content, except apt's caches.
const listing = `for dir in /opt /srv /var/cache /usr /data; do
	find $dir -xdev -path /var/cache/apt -prune -o -printf '%p %y %m %U:%G %T@ %l\n'
	find $dir -xdev -path /var/cache/apt -prune -o -type f -print0 | xargs -0 -r sha256sum
done | sort | sha256sum`

func testPartSubvolumes(t *testing.T, l lab) {
	m := placed(t, l)
	defer l.done(t, m)
	for _, name := range []string{"@opt", "@srv", "@cache", "@usr", "@home"} {
		l.Create(t, name)
	}
	m.Shell(t, "DEVICE="+l.Device()+`
echo "$DEVICE / btrfs subvol=@rootfs 0 0" >/etc/fstab
move() {
`+moveOut+`}
move /opt opt
move /srv srv
move /var/cache cache
move /usr usr
mkdir -p /home && mount -t btrfs -o subvol=@home $DEVICE /home
echo "$DEVICE /home btrfs subvol=@home 0 0" >>/etc/fstab
echo user >/home/file
mkdir -p /data && mv /var/lib/bt-bind /data/bind && mkdir /var/lib/bt-bind && mount --bind /data/bind /var/lib/bt-bind
echo '/data/bind /var/lib/bt-bind none bind 0 0' >>/etc/fstab
echo old >/srv/changes; echo old >/opt/goes
`)
	makeNested(t, l)
	before, live := m.Fingerprint(t), m.Shell(t, listing)
	name := upgradedTo(t, m)
	if diff := before.Diff(m.Fingerprint(t)); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
	if now := m.Shell(t, listing); now != live {
		t.Error("the running system's mounts changed")
	}
	checkPlaces(t, l, "@be/"+name, "2.0\n")
	if said := m.Shell(t, "apt-be run "+name+" -- cat /var/lib/bt-bind/place /opt/bt/place"); said != "2.0\n2.0\n" {
		t.Errorf("inside, the files hold %q", said)
	}
	checkFstab(t, l, "@be/"+name)

	// Changes of the running system in parts are carried, as everywhere.
	changeNested(t, l, m)
	m.Shell(t, "echo new >/opt/own; rm /opt/goes; echo new >/srv/changes; echo admin >>/opt/bt/same; echo x >/data/bind/own; chmod 700 /srv")
	drift := m.Shell(t, "apt-be drift --files "+name)
	said := m.Shell(t, "apt-be sync "+name)
	for _, want := range []string{"/opt/own", "/opt/goes", "/srv/changes", "/data/bind/own"} {
		if !strings.Contains(drift, want) {
			t.Errorf("drift does not tell of %s:\n%s", want, drift)
		}
	}
	wantFiles(t, l, "@be/"+name, map[string]string{
		"opt/own": "new\n", "opt/goes": "", "srv/changes": "new\n", "data/bind/own": "x\n", "opt/bt/place": "2.0\n",
	}, said)
	checkNested(t, l, "@be/"+name, said)
	checkFstab(t, l, "@be/"+name)
	if said := m.Shell(t, "apt-be sync "+name); !strings.Contains(said, "no file differs") {
		t.Errorf("the second sync says\n%s", said)
	}

	// The parts of the next environment are nested in it.
	m.Shell(t, "apt-be rename "+name+" next")
	checkFstab(t, l, "@be/next")
	m.Stop(t)
	next := l.Boot(t, "@be/next")
	next.Shell(t, "apt-be create third")
	checkPlaces(t, l, "@be/third", "2.0\n")
	checkFstab(t, l, "@be/third")
	next.Stop(t)
}

// upgradedTo upgrades, and returns the name of the environment.
func upgradedTo(t *testing.T, m *machine.Machine) string {
	t.Helper()
	upgraded := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	if upgraded.Status != 0 {
		t.Fatalf("the upgrade ended with %d:\n%s", upgraded.Status, upgraded.Output)
	}
	for _, e := range environments(t, m) {
		if e.Made == "redirect" && e.State == "ready" {
			return e.Name
		}
	}
	t.Fatalf("there is no new environment:\n%s", upgraded.Output)
	return ""
}

// checkPlaces checks that all places of an environment have the same version.
func checkPlaces(t *testing.T, l lab, root, version string) {
	t.Helper()
	for _, dir := range packages.PlaceDirs() {
		if dir == "/var/lib/bt-bind" {
			dir = "/data/bind"
		}
		if got, err := os.ReadFile(l.Path(root + dir + "/place")); err != nil || string(got) != version {
			t.Errorf("%s%s holds %q, %v; want %q", root, dir, got, err, version)
		}
	}
}

// checkFstab checks that the environment's fstab mounts each part from the environment.
func checkFstab(t *testing.T, l lab, root string) {
	t.Helper()
	got, err := os.ReadFile(l.Path(root + "/etc/fstab"))
	want := fmt.Sprintf("D / btrfs subvol=%s 0 0\n", root)
	for _, dir := range []string{"/opt", "/srv", "/var/cache", "/usr"} {
		want += fmt.Sprintf("D %s btrfs nodev,subvol=%s%s 0 0\n", dir, root, dir)
	}
	want += "D /home btrfs subvol=@home 0 0\n/data/bind /var/lib/bt-bind none bind 0 0\n"
	if text := strings.ReplaceAll(string(got), l.Device(), "D"); err != nil || text != want {
		t.Errorf("the fstab of %s is\n%s%v\nwant\n%s", root, text, err, want)
	}
}

func wantFiles(t *testing.T, l lab, root string, files map[string]string, said string) {
	t.Helper()
	for name, want := range files {
		got, err := os.ReadFile(l.Path(root + "/" + name))
		if string(got) != want || (err != nil) != (want == "") {
			t.Errorf("%s holds %q, %v; want %q; sync said\n%s", name, got, err, want, said)
		}
	}
}

// nestedPlaces are subvolumes nested in the root, and a directory.
var nestedPlaces = []string{"deleted", "again", "directory", "stays", "changes"}

func makeNested(t *testing.T, l lab) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	dir := "@rootfs/var/lib/nested/"
	must(os.MkdirAll(l.Path(dir+"becomes"), 0o755))
	for _, name := range nestedPlaces {
		l.Create(t, dir+name)
	}
	for _, name := range append(slices.Clone(nestedPlaces), "becomes") {
		must(os.WriteFile(l.Path(dir+name+"/file"), []byte("old\n"), 0o644))
		must(os.WriteFile(l.Path(dir+name+"/gone"), []byte("old\n"), 0o644))
	}
}

// changeNested replaces nested subvolumes by other subvolumes and by directories,
// deletes one, and replaces a directory by a subvolume.
func changeNested(t *testing.T, l lab, m *machine.Machine) {
	t.Helper()
	dir := "@rootfs/var/lib/nested/"
	for _, name := range []string{"deleted", "again", "directory"} {
		l.Delete(t, dir+name)
	}
	l.Create(t, dir+"again")
	m.Shell(t, `cd /var/lib/nested
mv becomes t
mkdir directory; echo new >directory/file
echo new >again/file
echo new >changes/file; rm changes/gone`)
	l.Create(t, dir+"becomes")
	m.Shell(t, "cd /var/lib/nested; cp -a t/. becomes; rm -r t; echo new >becomes/new; rm becomes/gone")
}

func checkNested(t *testing.T, l lab, root, said string) {
	t.Helper()
	dir := "var/lib/nested/"
	wantFiles(t, l, root, map[string]string{
		dir + "deleted/file": "", dir + "again/file": "new\n", dir + "again/gone": "", dir + "directory/file": "new\n", dir + "directory/gone": "",
		dir + "stays/file": "old\n", dir + "changes/file": "new\n", dir + "changes/gone": "", dir + "becomes/file": "old\n", dir + "becomes/new": "new\n",
		dir + "becomes/gone": "", dir + "t/file": "",
	}, said)
	if _, err := os.Lstat(l.Path(root + "/" + dir + "deleted")); !os.IsNotExist(err) {
		t.Errorf("what was deleted is there: %v", err)
	}
	if found := l.Subvolumes(t, root+"/"+strings.TrimSuffix(dir, "/")); !slices.Contains(found, root+"/"+dir+"becomes") {
		t.Errorf("what became a subvolume is none; those are %q", found)
	}
}

// testOutside tests packages with files on another file system.
func testOutside(t *testing.T, l lab) {
	m := placed(t, l)
	defer l.done(t, m)
	ext4 := loop.CreateBy(t, 64<<20, "mkfs.ext4", "-q", "-F").Device
	m.Shell(t, "mount "+ext4+" /mnt; cp -a /opt/. /mnt; umount /mnt; mount "+ext4+" /opt")
	defer m.Shell(t, "umount /opt")
	before, live := m.Fingerprint(t), m.Shell(t, listing)
	refused := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	want := fmt.Sprintf("cannot upgrade: the files of %s in /opt (ext4 of %s) cannot be upgraded: the mount is not in the boot environment", packages.Places, ext4)
	if refused.Status != 100 || !strings.Contains(strings.Join(strings.Fields(refused.Output), " "), want) {
		t.Errorf("status %d:\n%s\nwant\n%s", refused.Status, refused.Output, want)
	}
	if left := environments(t, m); len(left) > 0 {
		t.Errorf("there is %+v", left)
	}
	if diff := before.Diff(m.Fingerprint(t)); len(diff) > 0 || m.Shell(t, listing) != live {
		t.Errorf("the running system changed:\n%s", strings.Join(diff, "\n"))
	}
	// A subvolume that the fstab does not name is not a part of the root.
	l.Create(t, "@hand")
	m.Shell(t, "umount /opt; mount -t btrfs -o subvol=@hand "+l.Device()+" /opt; mkdir -p /opt/bt; cp /usr/share/bt-place/* /opt/bt")
	refused = m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	want = fmt.Sprintf("in /opt (the subvolume @hand of %s) cannot be upgraded", l.Device())
	if refused.Status != 100 || !strings.Contains(strings.Join(strings.Fields(refused.Output), " "), want) || len(environments(t, m)) > 0 {
		t.Errorf("mounted by hand: status %d:\n%s\nwant\n%s", refused.Status, refused.Output, want)
	}
	m.Shell(t, "umount /opt; mount "+ext4+" /opt")
	allowed := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "-o", "Apt-Be::Allow-Outside::=/opt", "dist-upgrade"}})
	if allowed.Status != 0 || len(environments(t, m)) != 1 || m.Shell(t, listing) != live {
		t.Errorf("where that is allowed: status %d:\n%s", allowed.Status, allowed.Output)
	}
}

// testPartVar tests a /var, with dpkg's database, on a separate subvolume, with files
// below its mount point and with a subvolume nested in it.
func testPartVar(t *testing.T, l lab) {
	m := placed(t, l)
	defer l.done(t, m)
	l.Create(t, "@var")
	m.Shell(t, "DEVICE="+l.Device()+`
echo "$DEVICE / btrfs subvol=@rootfs 0 0" >/etc/fstab
move() {
`+moveOut+`}
`+chattr+`attribute 16 /var
move /var var
`)
	l.Create(t, "@var/lib/deep")
	m.Shell(t, "echo old >/var/lib/deep/file; apt-be list")
	live := m.Shell(t, "find /var -xdev -type f ! -path '/var/cache/apt/*' -print0 | sort -z | xargs -0 sha256sum")
	name := upgradedTo(t, m)
	if now := m.Shell(t, "find /var -xdev -type f ! -path '/var/cache/apt/*' -print0 | sort -z | xargs -0 sha256sum"); now != live {
		t.Errorf("/var changed:\n%s\nit was\n%s", now, live)
	}
	if said := m.Shell(t, "apt-be run -r "+name+" -- sh -c 'dpkg-query -W -f \\${Version} "+packages.Places+"; cat /var/cache/bt/place /var/lib/deep/file'"); said != "2.02.0\nold\n" {
		t.Errorf("the environment has %q", said)
	}
	wantFiles(t, l, "@be/"+name, map[string]string{"var.below-mount/lib/dpkg/arch": "amd64\n"}, "")
	if said := m.Shell(t, "apt-be drift; apt-be diff --packages "+name); !strings.Contains(said, "no file differs") || !strings.Contains(said, packages.Places) {
		t.Errorf("drift and diff say\n%s", said)
	}
	m.Shell(t, "echo new >/var/lib/deep/file; echo mail >>/var/mail/root; echo mine >/etc/mine")
	said := m.Shell(t, "apt-be sync "+name)
	wantFiles(t, l, "@be/"+name, map[string]string{"var/lib/deep/file": "new\n", "var/mail/root": "mail\n", "etc/mine": "mine\n"}, said)
	if said := m.Shell(t, "apt-get -y dist-upgrade"); !strings.Contains(said, name) {
		t.Errorf("the same again says\n%s", said)
	}
	// Installing a package in the running system makes the environment stale.
	m.Shell(t, "dpkg -r bt-svc")
	if said := m.Shell(t, "apt-be list"); !strings.Contains(said, "stale") {
		t.Errorf("after a removal list says\n%s", said)
	}
}
