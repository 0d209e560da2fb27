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

// syncUnit is the unit that syncs when a shutdown stops it. The console may abbreviate
// the rest of the name.
const syncUnit = "apt-be-sync"

// TestLiving upgrades machines whose users, logs and databases keep writing until the
// shutdown stops them, or the power is cut. The new environment must have all reported
// entries exactly once.
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
		// Each machine that continues from here has its own witness.
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

// cutBefore cuts the power while all writers are active.
func cutBefore(t *testing.T, u alive) {
	u.g.Shell(t, "apt-be activate "+u.name+" && sync")
	u.witness.WaitMore(t, u.g, 10)
	u.cut(t)
}

// cutInMerge cuts the power some time after the start of the sync of a shutdown.
func cutInMerge(t *testing.T, u alive, after time.Duration) {
	u.g.Shell(t, "apt-be activate "+u.name+" && sync")
	u.g.Begin(t, "systemctl reboot")
	u.stopping(t, "Stopping")
	time.Sleep(after)
	u.cut(t)
}

// stopLimit is the maximum time to stop all services.
const stopLimit = 10 * time.Minute

// alive is a machine with an armed new environment. Its writers have been active since
// before the upgrade.
type alive struct {
	layout  layout
	disk    guest.Disk
	g       *guest.Guest
	witness *living.Witness
	name    string // of the environment
}

// meanwhile has an administrator's changes between the upgrade and the reboot.
const meanwhile = `set -e
echo alice:fresh | chpasswd
usermod -L bob
useradd -m carol
su carol -c 'echo of carol >/home/carol/file'
echo of later >/var/lib/docker/btrfs/subvolumes/layer/later
btrfs subvolume snapshot /var/lib/docker/btrfs/subvolumes/layer /var/lib/docker/btrfs/subvolumes/top
mv /var/log/living.log /var/log/living.log.1`

// upgradeAlive upgrades a machine while its writers are active, to the next versions of
// its databases and of further packages.
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

// again returns a machine with the state of one that was switched off. It runs the old
// system with active writers.
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

// leave switches to the new environment by a command while all writers are active, and
// checks that all entries are there.
func (u alive) leave(t *testing.T, command string) {
	t.Helper()
	const welcome = "Welcome to " // systemd's greeting
	boots := strings.Count(u.g.Output(), welcome)
	u.g.Begin(t, command)
	began, _ := u.stopping(t, "Stopping")
	ended, shown := u.stopping(t, "Stopped")
	t.Logf("stopping %s took %.1f s:\n%s", syncUnit, ended.Sub(began).Seconds(), guest.Plain(shown))
	wantBoot(t, u.g.WaitBoot(t), "/@be/"+u.name)
	told := u.witness.Told()
	// If the shutdown had not synced, the old system would have booted.
	if boots = strings.Count(u.g.Output(), welcome) - boots; boots != 1 {
		t.Errorf("the machine has booted %d times", boots)
	}
	blessed(t, u.g)
	// The journal stores every entry immediately. It may not yet have passed an entry
	// to the file when the shutdown began, so the old system's file counts.
	told["journal"] = told["syslog"]
	u.withOld(t, func() { told["syslog"] = living.Entries(t, u.g, "syslog", "/mnt") })
	u.wantAlive(t, told)
}

// stopping waits until the console shows what a shutdown does to the sync unit. It
// returns the time and the earlier output.
func (u alive) stopping(t *testing.T, does string) (time.Time, string) {
	t.Helper()
	shown := u.g.Expect(t, stopLimit, `(?s).*?`+does+` [^\n]*`+syncUnit)
	return time.Now(), shown[0]
}

// cut cuts the power. The old environment boots, unless the merge was complete, and the
// next reboot boots the new one. Both have all durable entries.
func (u alive) cut(t *testing.T) {
	t.Helper()
	u.g.Kill(t)
	told := u.witness.Told()
	// Entries that were sent to it may not be on the disk.
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

// wantAlive checks that the new environment has all reported entries, and that the
// writers are active.
func (u alive) wantAlive(t *testing.T, told map[string][]string) {
	t.Helper()
	wantRunning(t, u.g, u.name, u.name)
	u.wantEntries(t, told)
	u.g.Shell(t, "/usr/lib/postgresql/*/bin/pg_amcheck --install-missing --heapallindexed living")
	u.g.Shell(t, "mariadb-check --all-databases --check --silent")
	u.g.Shell(t, kept)
}

// wantEntries checks that all writers are active, and that all reported entries exist
// exactly once.
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

// wantRefused makes a change that cannot be carried: the old system boots again,
// reports the reason, and its writers continue.
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

// kept fails unless all changes of the administrator exist, from before and after the
// upgrade.
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

// some returns the beginning of a list.
func some(list []string) string {
	if len(list) > 5 {
		return fmt.Sprintf("%q and so on", list[:5])
	}
	return fmt.Sprintf("%q", list)
}
