package btrfs_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// silentServer mounts a FUSE file system at /mnt/silent that answers only its first
// request.
const silentServer = `mkdir -p /mnt/silent
exec perl -e '
$^F = 255;
sysopen(F, "/dev/fuse", 2) or die "open: $!";
system("mount", "-i", "-t", "fuse", "-o", "fd=" . fileno(F) . ",rootmode=40000,user_id=0,group_id=0", "nobody", "/mnt/silent") == 0 or die;
sysread(F, $request, 1 << 17) or die "read: $!";
$id = substr($request, 8, 8);
syswrite(F, pack("Ll", 80, 0) . $id . pack("LLLLSSLLx36", 7, 31, 65536, 0, 0, 0, 4096, 1)) == 80 or die "write: $!";
$| = 1; print "serving\n";
while (sysread(F, $request, 1 << 17)) {}'`

// chattr sets (+) or clears (-) the attribute i (16) or a (32) of directories.
const chattr = `attribute() { perl -e '$n = shift; for (@ARGV) { open(F, "<", $_) or die "$_: $!"; $b = pack("i", $n); ioctl(F, 0x40086602, $b) or die "$_: $!"; }' "$@"; }
`

// testSurvive upgrades a machine with unusual properties that an upgrade in place
// survives, and then destroys the environment.
func testSurvive(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	l.Create(t, running+"/swap")
	// The kernel has one list of swap files for the machines of both releases.
	file := func(script string) string { return strings.ReplaceAll(script, "FILE", l.Recipe) }
	m.Shell(t, file(`chmod 700 /swap; perl -e 'open(F, ">", "/swap/FILE"); $b = pack("i", 0x00800000); ioctl(F, 0x40086602, $b) or die' &&
dd if=/dev/zero of=/swap/FILE bs=1M count=16 status=none && chmod 600 /swap/FILE && mkswap -L odd /swap/FILE && swapon /swap/FILE`))
	defer m.Run(t, machine.Command{Args: []string{"swapoff", file("/swap/FILE")}})
	l.Create(t, running+"/var/lib/machines")
	m.WriteFile(t, "/var/lib/machines/file", "data")
	m.Shell(t, "mkdir /srv/hooked && echo 'none /srv/hooked tmpfs noauto 0 0' >>/etc/fstab")
	m.WriteFile(t, "/etc/apt/apt.conf.d/60hooks", `
DPkg::Pre-Invoke { "/bin/mount -o remount,exec /tmp"; "PATH=/usr/bin:/bin; mount -o remount,rw /tmp"; "/bin/mount /srv/hooked"; "! /bin/mount -t tmpfs none /srv/bt 2>/dev/null"; };
DPkg::Post-Invoke { "/bin/umount /srv/hooked"; };
`)
	server := m.Start(t, machine.Command{Args: []string{"sh", "-ec", silentServer}})
	server.Expect(t, "serving")
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := m.Run(t, frontends()[0].quiet())
	t.Logf("%s", result.Output)
	if result.Status != 0 {
		t.Fatalf("status %d", result.Status)
	}
	for _, want := range []string{"/mnt/silent (fuse of nobody) does not respond", file("The swap file /swap/FILE was not copied")} {
		if !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(result.Output, "apt-be: ", "")), " "), want) {
			t.Errorf("it does not say %q", want)
		}
	}
	if diff := butSwapped(before.Diff(m.Fingerprint(t)), file("/swap/FILE")); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
	if now := m.Mounts(t); strings.Join(now, "\n") != strings.Join(mounts, "\n") {
		t.Errorf("mounts left: %q, were %q", now, mounts)
	}
	m.Kill(t, server.PID)
	found := environments(t, m)
	if len(found) != 1 || found[0].State != "ready" {
		t.Fatalf("environments %+v", found)
	}
	name := found[0].Name
	testSwapOf(t, l, m, name)
	testLocked(t, l, m, name)
	testOnlyHere(t, l, m, name)
}

// butSwapped removes a swap file's changed content from a fingerprint's differences.
func butSwapped(diff []string, file string) []string {
	without := map[string]int{}
	for _, line := range diff {
		if fields := strings.Fields(line); len(fields) > 2 && fields[1] == file {
			without[strings.Join(fields[1:len(fields)-1], " ")]++
		}
	}
	return slices.DeleteFunc(diff, func(line string) bool {
		fields := strings.Fields(line)
		return len(fields) > 2 && fields[1] == file && without[strings.Join(fields[1:len(fields)-1], " ")] == 2
	})
}

// testSwapOf uses the swap file of an environment after a sync.
func testSwapOf(t *testing.T, l lab, m *machine.Machine, name string) {
	file := func(script string) string { return strings.ReplaceAll(script, "FILE", l.Recipe) }
	m.Shell(t, "echo word >/srv/since; apt-be sync "+name+" 2>&1")
	m.Shell(t, file(`mount -o subvol=@be/`+name+` `+l.Device()+` /mnt
[ "$(stat -c %a /mnt/swap /mnt/swap/FILE | xargs)" = "700 600" ]; [ $(stat -c %s /mnt/swap/FILE) = $(stat -c %s /swap/FILE) ]
[ "$(blkid -p -o value -s UUID -s LABEL /mnt/swap/FILE)" = "$(blkid -p -o value -s UUID -s LABEL /swap/FILE)" ]
swapon /mnt/swap/FILE; swapoff /mnt/swap/FILE; umount /mnt`))
	// In the root's own subvolume a swap file cannot be copied.
	m.Shell(t, file(`swapoff /swap/FILE; perl -e 'open(F, ">", "/inroot-FILE"); $b = pack("i", 0x00800000); ioctl(F, 0x40086602, $b) or die' && chmod 600 /inroot-FILE && dd if=/swap/FILE of=/inroot-FILE bs=1M status=none && swapon /inroot-FILE`))
	result := m.Run(t, machine.Command{Args: []string{"apt-be", "create", "impossible"}})
	m.Shell(t, file("swapoff /inroot-FILE; rm /inroot-FILE"))
	if result.Status != 1 || !strings.Contains(result.Output, file("an active swap file is in it: /inroot-FILE")) || !strings.Contains(result.Output, "hint: deactivate it with swapoff") {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
}

// testLocked has immutable directories where subvolumes are renamed and deleted.
func testLocked(t *testing.T, l lab, m *machine.Machine, name string) {
	for _, n := range []string{"16", "32"} { // i, a
		l.Create(t, running+"/var/lib/inner")
		m.Shell(t, chattr+"attribute "+n+" / /var/lib /var/lib/inner")
		create := m.Run(t, machine.Command{Args: []string{"apt-be", "create", "locked"}})
		m.Shell(t, chattr+"attribute 0 / /var/lib /var/lib/inner")
		if create.Status != 0 {
			t.Errorf("status %d:\n%s", create.Status, create.Output)
		}
		l.Create(t, "@be/locked/var/outer") // in a directory that a script locks
		script := chattr + "attribute " + n + " /var/outer /var/lib /var /"
		if result := m.Run(t, machine.Command{Args: []string{"apt-be", "run", "locked", "--", "sh", "-ec", script}}); result.Status != 0 {
			t.Errorf("status %d:\n%s", result.Status, result.Output)
		}
		m.Shell(t, "apt-be rename locked still; apt-be destroy still 2>&1")
		l.Delete(t, running+"/var/lib/inner")
	}
	if left := l.Subvolumes(t, "@be"); len(left) > 3 {
		t.Errorf("left: %q", left)
	}
}

// testOnlyHere has a unique subvolume in an environment.
func testOnlyHere(t *testing.T, l lab, m *machine.Machine, name string) {
	l.Create(t, "@be/"+name+"/var/lib/machines/web")
	if err := os.WriteFile(l.Path("@be/"+name+"/var/lib/machines/web/file"), make([]byte, 1<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	l.Snapshot(t, "@be/"+name, "@be/"+name+"/before")
	for _, arg := range []string{"", "--dry-run"} {
		result := m.Run(t, machine.Command{Args: []string{"sh", "-c", "apt-be destroy " + arg + " " + name}})
		if result.Status != 12 || !strings.Contains(result.Output, "/before (") || !strings.Contains(result.Output, "/var/lib/machines/web (1.0 MiB)") {
			t.Errorf("status %d:\n%s", result.Status, result.Output)
		}
	}
	m.Shell(t, "apt-be destroy --accept-risk delete-nested "+name)
	if left := environments(t, m); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
