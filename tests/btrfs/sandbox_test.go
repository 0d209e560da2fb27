package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// inside runs a script in the environment "env" and returns its output.
func inside(t *testing.T, m *machine.Machine, script string) string {
	t.Helper()
	result := m.Run(t, machine.Command{Args: []string{"apt-be", "run", "env", "--", "sh", "-c", script}})
	return strings.TrimSpace(result.Output)
}

// testSandbox tries to change the running system from inside.
func testSandbox(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, "mkdir /srv/live /srv/trap && apt-be create env")
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	for _, c := range []struct{ what, script, want string }{
		{"the init's root", "ls -A /proc/1/root; ls -A /proc/1/fd /proc/1/task 2>&1 | grep -c 'No such file'", "2"},
		{"a second chroot", `python3 -c '
import os
os.mkdir("/tmp/jail"); fd = os.open("/", os.O_RDONLY); os.chroot("/tmp/jail"); os.fchdir(fd)
for _ in range(50): os.chdir("..")
os.chroot("."); print(sorted(os.listdir("/")))'`, "['root']"},
		{"the init's powers", "grep -h CapEff /proc/1/status", "CapEff:\t0000000800040000"},
		{"other processes", "ls -d /proc/[0-9]* | wc -l | xargs test 6 -gt && echo few", "few"},
		{"a disk", "find /dev -type b | head -1 | xargs -I{} dd if={} of=/dev/null count=1 2>&1 | grep -o 'Permission denied'", "Permission denied"},
		{"a node of its own", "mknod /tmp/disk b 7 0 2>&1 | grep -o 'Operation not permitted'", "Operation not permitted"},
		{"kernel settings", "(echo x >/proc/sys/kernel/core_pattern) 2>&1 | grep -o 'Read-only file system'", "Read-only file system"},
		{"a mount", "mount -t tmpfs none /mnt 2>&1 | grep -o 'permission denied'", "permission denied"},
		{"a hook that remounts", "mount -o remount,rw /usr && mount -n -o exec,remount /tmp && mount -no remount / && mount --options=remount,ro /usr && echo done", "done"},
		{"the host's name", "hostname other 2>&1 | grep -o 'must be root'", "must be root"},
		{"a container", "systemd-detect-virt -cq && systemd-detect-virt --container", "container-other"},
		{"a service", "invoke-rc.d bt-svc start 2>&1 | grep -o 'policy-rc.d denied'; cat /run/bt-svc 2>&1 | grep -o 'No such file'", "policy-rc.d denied\nNo such file"},
		{"the boot loader", "update-grub", "apt-be: update-grub: the boot loader is left alone; it is set up at activation"},
		{"a process that stays", "sleep 1000 >/dev/null 2>&1 & echo started", "started"},
		{"a terminal", "python3 -c 'import pty; pty.openpty(); print(\"opened\")'", "opened"},
	} {
		if got := inside(t, m, c.script); got != c.want {
			t.Errorf("%s: %q, want %q", c.what, got, c.want)
		}
	}
	if left := m.Quiet(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if diff := before.Diff(m.Fingerprint(t)); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
	if now := m.Mounts(t); strings.Join(now, "\n") != strings.Join(mounts, "\n") {
		t.Errorf("mounts left: %q, were %q", now, mounts)
	}
	if _, err := os.Lstat(l.Path("@be/env/usr/sbin/policy-rc.d")); !os.IsNotExist(err) {
		t.Errorf("the policy is left in the boot environment: %v", err)
	}
	testShares(t, l, m)
	testLinksOut(t, l, m)
}

// testShares writes from inside to another file system of the running root.
func testShares(t *testing.T, l lab, m *machine.Machine) {
	l.Snapshot(t, plain, "@data")
	m.Shell(t, "mount -t btrfs -o subvol=@data "+l.Device()+" /srv/live && echo live >/srv/live/file")
	got := inside(t, m, "cat /srv/live/file; echo inside >/srv/live/file; echo new >/srv/live/new; rm -r /srv/live/etc; cat /srv/live/file")
	if got != "live\ninside" {
		t.Errorf("inside, the other file system has %q", got)
	}
	if now := m.Shell(t, "cat /srv/live/file; ls -d /srv/live/new /srv/live/etc 2>/dev/null || true"); strings.TrimSpace(now) != "live\n/srv/live/etc" {
		t.Errorf("outside, the other file system has %q", now)
	}
	added, err := filepath.Glob(l.Path("@apt-be/scratch/*/*/upper/new"))
	if err != nil || len(added) != 1 {
		t.Errorf("what was added is kept at %q, %v", added, err)
	}
	m.Shell(t, "umount /srv/live")
}

// testLinksOut has a link in an environment at a path where the sandbox mounts and
// writes: it is not followed.
func testLinksOut(t *testing.T, l lab, m *machine.Machine) {
	dev := l.Path("@be/env/dev")
	if err := os.RemoveAll(dev); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/srv/trap", dev); err != nil {
		t.Fatal(err)
	}
	if got := m.Run(t, machine.Command{Args: []string{"apt-be", "run", "env", "--", "true"}}); got.Status == 0 || !strings.Contains(got.Output, "use /dev: not a directory") {
		t.Errorf("a root of which /dev is a link: status %d:\n%s", got.Status, got.Output)
	}
	if found := m.Shell(t, "ls -A /srv/trap"); found != "" {
		t.Errorf("a link led into the running root: %q", found)
	}
}
