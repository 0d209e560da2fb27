package btrfs_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// otherRoot is a script that makes a directory the root of a system and runs a command
// in it. Its first argument is the directory, which is a mount point.
const otherRoot = `dir=$1; shift
mount -t proc proc "$dir/proc"
mount -t sysfs sysfs "$dir/sys"
mount --rbind /dev "$dir/dev"
mount --rbind /run "$dir/run"
mount -t tmpfs tmpfs "$dir/tmp"
cd "$dir"
mkdir -p tmp/old
pivot_root . tmp/old
umount -l /tmp/old
"$@"
exit
`

// asRoot returns a command that runs another one with the file system that a script
// mounts at /mnt as its root.
func asRoot(mount string, command machine.Command) machine.Command {
	args := []string{"unshare", "--mount", "--pid", "--fork", "--kill-child",
		"sh", "-ec", mount + "\nset -- /mnt \"$@\"\n" + otherRoot, "sh"}
	command.Args = append(args, command.Args...)
	return command
}

// copyRoot is a script that copies the running root to /mnt.
const copyRoot = "for dir in bin etc lib lib64 root sbin srv usr var; do cp -a /$dir /mnt; done; mkdir -p /mnt/dev /mnt/proc /mnt/run /mnt/sys /mnt/tmp"

// testImpossible upgrades where no environment is possible: the upgrade either warns
// once a day and changes the running system, or stops and leaves nothing.
func testImpossible(t *testing.T, l lab) {
	t.Run("told", func(t *testing.T) { testObstacles(t, l) })
	t.Run("read-only", func(t *testing.T) { testReadOnly(t, l) })
	t.Run("chroot", func(t *testing.T) { testChroot(t, l) })
	t.Run("container", func(t *testing.T) { testContainer(t, l) })
}

// testObstacles has roots that cannot be snapshotted as a whole.
func testObstacles(t *testing.T, l lab) {
	ext4 := loop.CreateBy(t, 2<<30, "mkfs.ext4", "-q", "-F").Device
	top := loop.Create(t, 2<<30).Device
	for i, c := range []struct {
		name, prepare, mount string // in the machine, and then to /mnt
		says                 string
	}{
		{
			name: "ext4", says: "the root file system is not btrfs",
			prepare: "mount " + ext4 + " /mnt; " + copyRoot + "; umount /mnt", mount: "mount " + ext4 + " /mnt",
		}, {
			name: "top level", says: "the root file system is the top level of its btrfs, not a subvolume",
			prepare: "mount " + top + " /mnt; " + copyRoot + "; umount /mnt", mount: "mount " + top + " /mnt",
		}, {
			name: "overlay", says: "the root file system is not btrfs",
			prepare: "mkdir -p /run/up/upper /run/up/work",
			mount:   "mount -t overlay -o lowerdir=/,upperdir=/run/up/upper,workdir=/run/up/work overlay /mnt",
		}, {
			name: "dpkg in another subvolume", says: "/var/lib/dpkg is not in the root subvolume",
			mount: "mount -o subvol=@rootfs " + l.Device() + " /mnt; mount -o subvol=" + plain + " " + l.Device() + " /opt; " +
				"mount --bind /opt/var/lib/dpkg /mnt/var/lib/dpkg",
		}, {
			name: "dpkg on another file system", says: "/var/lib/dpkg is not in the root subvolume",
			prepare: "mkdir /run/dpkg; cp -a /var/lib/dpkg/. /run/dpkg",
			mount:   "mount -o subvol=@rootfs " + l.Device() + " /mnt; mount --bind /run/dpkg /mnt/var/lib/dpkg",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := l.system(t, with, running, packages.Good)
			defer l.done(t, m)
			if c.prepare != "" {
				m.Shell(t, c.prepare)
			}
			mounts := m.Mounts(t)
			all := frontends()
			if i > 0 {
				all = all[:2] // the same code reports all of them
			}
			told := 0
			for _, f := range all {
				result := m.Run(t, asRoot(c.mount, f.quiet()))
				if result.Status != 0 {
					t.Errorf("%s: status %d:\n%s", f.name, result.Status, result.Output)
				}
				told += strings.Count(strings.ReplaceAll(result.Output, "\napt-be: ", " "), c.says)
			}
			if told != 1 {
				t.Errorf("it was told %d times of %q, want once a day", told, c.says)
			}
			version := m.Run(t, asRoot(c.mount, machine.Command{Args: []string{"dpkg-query", "-W", "-f", "${Version}", "bt-app"}}))
			if version.Output != "2.0" {
				t.Errorf("the running system has bt-app %s after the upgrade, want 2.0", version.Output)
			}
			m.Shell(t, "find /run/apt-be -name 'warned-*' -exec touch -d '25 hours ago' {} +")
			result := m.Run(t, asRoot(c.mount, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}}))
			if !strings.Contains(result.Output, "apt-be: hint: ") || !strings.Contains(result.Output, "apt-be: warning: cannot redirect") {
				t.Errorf("a day later it is not told, or not what to do:\n%s", result.Output)
			}
			checkNothingLeft(t, l, m, mounts)
		})
	}
}

// testReadOnly uses a read-only root: an upgrade stops, and the file system is still
// read-only afterwards.
func testReadOnly(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, "mount -o remount,ro /")
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	for _, f := range frontends() {
		checkStops(t, m.Run(t, f.quiet()), f, "cannot upgrade: the root file system is read-only", "mount -o remount,rw /")
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	checkNothingLeft(t, l, m, mounts)
	m.Shell(t, "mount -o remount,rw /")
}

// testChroot upgrades in a chroot within the machine, which also has apt-be: the chroot
// is upgraded, and no environment is made from it.
func testChroot(t *testing.T, l lab) {
	const jail = "/srv/jail"
	var (
		copied  = "mkdir " + jail + "; cd " + jail + "; for dir in bin etc lib lib64 root sbin srv/bt usr var; do mkdir -p $(dirname $dir); cp -a /$dir $dir; done; mkdir dev proc run sys tmp; mount --rbind /dev dev"
		mounted = "mkdir " + jail + "; mount -o subvol=@jail " + l.Device() + " " + jail + "; cd " + jail + "; mount --rbind /dev dev; mount --rbind /proc proc"
	)
	for _, c := range []struct {
		name, prepare string
		frontends     []frontend
	}{
		{"directory without proc", copied, frontends()[:1]},
		{"directory", copied + "; mount -t proc proc proc", frontends()[:1]},
		{"subvolume", mounted, frontends()},
		{"subvolume with the machine's run", mounted + "; mount --rbind /run run", frontends()[:1]},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := l.system(t, with, running, packages.Good)
			defer l.done(t, m)
			l.Snapshot(t, running, "@jail")
			m.Shell(t, c.prepare)
			before, mounts := m.Fingerprint(t), m.Mounts(t)
			for _, f := range c.frontends {
				command := f.quiet()
				command.Args = append([]string{"chroot", jail}, command.Args...)
				if result := m.Run(t, command); result.Status != 0 || strings.Contains(result.Output, "apt-be: ") {
					t.Errorf("%s: status %d:\n%s", f.name, result.Status, result.Output)
				}
			}
			m.Shell(t, "chroot "+jail+" dpkg -r bt-many1")
			if version := m.Shell(t, "chroot "+jail+" dpkg-query -W -f '${Version}' bt-app"); version != "2.0" {
				t.Errorf("the chroot has bt-app %s, want 2.0", version)
			}
			inJail := func(name string) bool {
				return strings.HasPrefix(name, "- "+jail) || strings.HasPrefix(name, "+ "+jail)
			}
			if diff := slices.DeleteFunc(before.Diff(m.Fingerprint(t)), inJail); len(diff) > 0 {
				t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
			}
			checkNothingLeft(t, l, m, mounts)
			m.Shell(t, "test ! -e /run/apt-be")
		})
	}
}

// testContainer has the marks of a container.
func testContainer(t *testing.T, l lab) {
	for _, c := range []struct{ name, prepare, run string }{
		{"systemd", "mkdir -p /run/systemd; echo lxc >/run/systemd/container", ""},
		{"podman", ": >/run/.containerenv", ""},
		{"process 1", "", "unshare --pid --fork --kill-child --mount-proc env container=lxc sh -c"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := l.system(t, with, running, packages.Good)
			defer l.done(t, m)
			if c.prepare != "" {
				m.Shell(t, c.prepare)
			}
			mounts := m.Mounts(t)
			upgrade := machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}}
			if c.run != "" {
				upgrade.Args = append(strings.Fields(c.run), "apt-get -y dist-upgrade; exit")
			}
			if result := m.Run(t, upgrade); result.Status != 0 || strings.Contains(result.Output, "apt-be: ") {
				t.Errorf("status %d:\n%s", result.Status, result.Output)
			}
			checkNothingLeft(t, l, m, mounts)
		})
	}
}

// checkStops checks that a frontend ended as after a failure of dpkg, with the reason
// and a hint.
func checkStops(t *testing.T, result machine.Result, f frontend, why, hint string) {
	t.Helper()
	status := map[string]int{"aptitude-curses": 255, "unattended-upgrade": 1}[f.program]
	if status == 0 {
		status = 100
	}
	said := strings.ReplaceAll(result.Output, "\napt-be: ", " ")
	if result.Status != status || !strings.Contains(said, "apt-be: error: "+why) && !strings.Contains(said, " error: "+why) {
		t.Errorf("%s: status %d, want %d and %q:\n%s", f.name, result.Status, status, why, result.Output)
	}
	if !strings.Contains(said, hint) {
		t.Errorf("%s: it does not say what to do, %q:\n%s", f.name, hint, result.Output)
	}
}

// checkNothingLeft checks that there is no environment, and no new mount or process.
func checkNothingLeft(t *testing.T, l lab, m *machine.Machine, mounts []string) {
	t.Helper()
	checkNoEnvironment(t, l)
	if left := m.Quiet(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if now := m.Mounts(t); !slices.Equal(now, mounts) {
		t.Errorf("mounts left: %q, were %q", now, mounts)
	}
}
