package vm_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/living"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// syncUnit is what carries over, when a shutdown stops it. The console may leave
// out the rest of the name.
const syncUnit = "apt-be-sync"

// TestLiving upgrades machines whose users, logs and databases go on writing
// until the shutdown stops them, or the power is cut. All that they were
// promised to find again is in the new environment, once.
func TestLiving(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	t.Run(image.BIOSGRUB, func(t *testing.T) {
		t.Parallel()
		u := upgradeAlive(t, image.BIOSGRUB, source.Oldstable, source.NewKernel(t, source.Oldstable)...)
		u.leave(t, "systemctl reboot")
		u.g.PowerOff(t)
	})
	t.Run(image.BIOSGRUBStable, func(t *testing.T) {
		t.Parallel()
		u := upgradeAlive(t, image.BIOSGRUBStable, source.Stable)
		// Each machine that goes on from here has a witness of its own.
		u.g.Shell(t, "apt-be deactivate && rm /etc/living/witness")
		u.g.PowerOff(t)
		for name, way := range map[string]func(*testing.T, alive){
			"soft-reboot":                    func(t *testing.T, u alive) { u.leave(t, "apt-be activate --soft "+u.name) },
			"kexec":                          func(t *testing.T, u alive) { u.leave(t, "apt-be activate --kexec "+u.name) },
			"power cut before the shutdown":  cutBefore,
			"power cut as the merge begins":  func(t *testing.T, u alive) { cutInMerge(t, u, 0) },
			"power cut in the merge":         func(t *testing.T, u alive) { cutInMerge(t, u, 4*time.Second) },
			"power cut later, or afterwards": func(t *testing.T, u alive) { cutInMerge(t, u, 8*time.Second) },
			"refused":                        wantRefused,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				way(t, u.again(t))
			})
		}
	})
}

// cutBefore cuts the power while all are still writing.
func cutBefore(t *testing.T, u alive) {
	u.g.Shell(t, "apt-be activate "+u.name+" && sync")
	u.witness.WaitMore(t, u.g, 10)
	u.cut(t)
}

// cutInMerge cuts the power some time after a shutdown has begun to carry over.
func cutInMerge(t *testing.T, u alive, after time.Duration) {
	u.g.Shell(t, "apt-be activate "+u.name+" && sync")
	u.g.Begin(t, "systemctl reboot")
	u.stopping(t, "Stopping")
	time.Sleep(after)
	u.cut(t)
}

// stopLimit is how long it takes at most to stop all services.
const stopLimit = 10 * time.Minute

// alive is a machine with a new environment that the next boot takes, and with
// writers that have not stopped since before it was made.
type alive struct {
	layout  layout
	disk    guest.Disk
	g       *guest.Guest
	witness *living.Witness
	name    string // of the environment
}

// meanwhile is what an administrator does between the upgrade and the reboot.
const meanwhile = `set -e
echo alice:fresh | chpasswd
usermod -L bob
useradd -m carol
su carol -c 'echo of carol >/home/carol/file'
echo of later >/var/lib/docker/btrfs/subvolumes/layer/later
btrfs subvolume snapshot /var/lib/docker/btrfs/subvolumes/layer /var/lib/docker/btrfs/subvolumes/top
mv /var/log/living.log /var/log/living.log.1`

// upgradeAlive upgrades a machine while it is written to, to the next version of
// its databases and whatever more is given.
func upgradeAlive(t *testing.T, recipe string, release source.Release, more ...string) alive {
	t.Helper()
	machine := living.New(t, recipe, release)
	disk := initialized(t, machine.Image.Install(t)).Disk(t)
	u := alive{layout: layouts[recipe], disk: disk, g: guest.Start(t, disk, guest.Options{}), witness: living.NewWitness(t, nil)}
	wantBoot(t, u.g.WaitBoot(t), u.layout.root)
	u.g.Settle(t)
	source.New(t, slices.Concat(machine.Next, more)...).Use(t, u.g)
	u.witness.Attend(t, u.g)
	u.witness.WaitMore(t, u.g, 10)
	u.g.Shell(t, "apt-get -q -y dist-upgrade")
	s := statusOf(t, u.g)
	if len(s.Pending) != 1 || s.Next == nil || s.Next.Name != s.Pending[0].Name {
		t.Fatalf("after the upgrade: %+v", s)
	}
	u.name = s.Next.Name
	u.g.Shell(t, meanwhile)
	u.witness.WaitMore(t, u.g, 10)
	return u
}

// again is a machine like one that was switched off, which runs the old system
// and goes on living.
func (u alive) again(t *testing.T) alive {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-be-living.")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if u.disk, err = u.disk.Overlay(dir, false); err != nil {
		t.Fatal(err)
	}
	u.g = guest.Start(t, u.disk, guest.Options{})
	wantBoot(t, u.g.WaitBoot(t), u.layout.root)
	u.g.Settle(t)
	u.witness = living.NewWitness(t, u.witness)
	u.witness.Attend(t, u.g)
	u.witness.WaitMore(t, u.g, 10)
	return u
}

// leave goes to the new environment by a command, while everything is written
// to, and checks that all is there.
func (u alive) leave(t *testing.T, command string) {
	t.Helper()
	const welcome = "Welcome to " // of systemd
	boots := strings.Count(u.g.Output(), welcome)
	u.g.Begin(t, command)
	began, _ := u.stopping(t, "Stopping")
	ended, shown := u.stopping(t, "Stopped")
	t.Logf("stopping %s took %.1f s:\n%s", syncUnit, ended.Sub(began).Seconds(), guest.Plain(shown))
	wantBoot(t, u.g.WaitBoot(t), "/@be/"+u.name)
	told := u.witness.Told()
	// Had the shutdown not carried over, the old one would have come up.
	if boots = strings.Count(u.g.Output(), welcome) - boots; boots != 1 {
		t.Errorf("the machine has booted %d times", boots)
	}
	blessed(t, u.g)
	// The journal takes all at once. What it passes on to a file may have been on
	// the way when the shutdown came, so that counts by the old system's file.
	told["journal"] = told["syslog"]
	u.withOld(t, func() { told["syslog"] = living.Entries(t, u.g, "syslog", "/mnt") })
	u.wantAlive(t, told)
}

// stopping waits until the console says what a shutdown does to the unit that
// carries over, and returns when it did and what it has shown before.
func (u alive) stopping(t *testing.T, does string) (time.Time, string) {
	t.Helper()
	shown := u.g.Expect(t, stopLimit, `(?s).*?`+does+` [^\n]*`+syncUnit)
	return time.Now(), shown[0]
}

// cut cuts the power. The old environment boots, unless the merge was done by then,
// and the next reboot boots the new one. Both have all that was durable.
func (u alive) cut(t *testing.T) {
	t.Helper()
	u.g.Kill(t)
	told := u.witness.Told()
	// What was sent to it may not be on the disk.
	delete(told, "syslog")
	u.g = guest.Start(t, u.disk, guest.Options{})
	boot := u.g.WaitBoot(t)
	if boot.Root == u.layout.root {
		u.g.Settle(t)
		wantRunning(t, u.g, u.layout.name, u.name)
		contains(t, "motd", u.g.Shell(t, "cat /run/motd.d/apt-be"), u.name+" was not booted", "the next reboot tries again")
		u.wantEntries(t, told)
		boot = u.g.Reboot(t)
	}
	wantBoot(t, boot, "/@be/"+u.name)
	blessed(t, u.g)
	u.wantAlive(t, told)
}

// withOld runs work while the old system's root is mounted at /mnt.
func (u alive) withOld(t *testing.T, work func()) {
	t.Helper()
	u.g.Shell(t, "mount -o ro,subvol="+u.layout.root+" \"$(findmnt -n -o SOURCE / | sed 's/\\[.*//')\" /mnt")
	work()
	u.g.Shell(t, "umount /mnt")
}

// wantAlive checks that the new environment has all that was told of, and goes
// on.
func (u alive) wantAlive(t *testing.T, told map[string][]string) {
	t.Helper()
	wantRunning(t, u.g, u.name, u.name)
	u.wantEntries(t, told)
	u.g.Shell(t, "/usr/lib/postgresql/*/bin/pg_amcheck --install-missing --heapallindexed living")
	u.g.Shell(t, "mariadb-check --all-databases --check --silent")
	u.g.Shell(t, kept)
}

// wantEntries checks that all writers go on, and that all entries that were told
// of are there, once.
func (u alive) wantEntries(t *testing.T, told map[string][]string) {
	t.Helper()
	u.witness.WaitMore(t, u.g, 10)
	if failed := u.g.Shell(t, "journalctl --sync; systemctl --failed --plain --no-legend"); failed != "" {
		t.Errorf("services failed:\n%s", failed)
	}
	for _, place := range append(slices.Clone(living.Places), "journal") {
		tally := living.Count(told[place], living.Entries(t, u.g, place, ""))
		t.Logf("%s: %d entries are promised, %d are there", place, len(told[place]), tally.Found)
		if len(tally.Missing) > 0 || len(tally.Twice) > 0 {
			t.Errorf("%s: %d of %d entries are missing %s, and %d are there twice %s", place,
				len(tally.Missing), len(told[place]), some(tally.Missing), len(tally.Twice), some(tally.Twice))
		}
	}
}

// wantRefused has something happen that can't be carried over: the old system
// boots again, says why, and goes on.
func wantRefused(t *testing.T, u alive) {
	u.g.Shell(t, "apt-be run "+u.name+" -- sh -c 'echo of the new >/srv/data' && apt-be activate "+u.name+" && echo of the old >/srv/data")
	u.g.Begin(t, "systemctl reboot")
	wantBoot(t, u.g.WaitBoot(t), u.layout.root)
	told := u.witness.Told()
	delete(told, "syslog")
	u.g.Settle(t)
	wantRunning(t, u.g, u.layout.name, u.layout.name)
	contains(t, "motd", u.g.Shell(t, "cat /run/motd.d/apt-be"), u.name+" was not booted", "/srv/data")
	u.wantEntries(t, told)
}

// kept fails unless all is there that was done by hand, before the upgrade and
// after it.
const kept = `set -ex
perl -e '
	for (["alice", "fresh"], ["bob", "stale"]) {
		my ($user, $password) = @$_;
		my $hash = (getpwnam $user)[1];
		my $locked = $hash =~ s/^!//;
		crypt($password, $hash) eq $hash or die "the password of $user is not $password\n";
		$locked == ($user eq "bob") or die "$user is ", ($locked ? "" : "not "), "locked\n";
	}'
test "$(stat -c %U /home/carol/file)" = carol
grep -qx 'of carol' /home/carol/file
layers=/var/lib/docker/btrfs/subvolumes
for volume in $layers/base $layers/layer $layers/top /var/lib/machines /var/lib/machines/box; do
	btrfs subvolume show $volume >/dev/null
done
for volume in $layers/layer $layers/top; do
	grep -qx 'of the base' $volume/file
	grep -qx 'of the layer' $volume/upper
	grep -qx 'of later' $volume/later
done
grep -qx 'of the base' $layers/base/file
grep -qx 'of the box' /var/lib/machines/box/file`

// some is the beginning of a list.
func some(list []string) string {
	if len(list) > 5 {
		return fmt.Sprintf("%q and so on", list[:5])
	}
	return fmt.Sprintf("%q", list)
}
