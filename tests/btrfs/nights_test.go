package btrfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

const unattendedLog = "/var/log/unattended-upgrades/unattended-upgrades.log"

// oneNight runs the services of apt's timers, and makes their stamps one day older, as
// if a day had passed.
const oneNight = `cd /var/lib/apt/periodic
for stamp in *; do touch -d "$(date -r "$stamp" '+%F %T') 1 day ago" "$stamp"; done
cd /
/usr/lib/apt/apt.systemd.daily update 2>&1
/usr/lib/apt/apt.systemd.daily install 2>&1`

// testNights leaves a machine to the timers for a week.
func testNights(t *testing.T, l lab) {
	m := l.mailing(t, with, running, packages.Empty)
	defer l.done(t, m)
	m.WriteFile(t, "/etc/apt/apt.conf.d/54nights", `APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Download-Upgradeable-Packages "1";
APT::Periodic::Unattended-Upgrade "1";
`)
	m.Shell(t, "mkdir -p /var/lib/apt/periodic && touch /var/lib/apt/periodic/upgrade-stamp")
	news := map[int]packages.Variant{1: packages.FirstNight, 3: packages.SecondNight, 5: packages.ThirdNight}
	mounts := m.Mounts(t)
	name := ""
	for night := 1; night <= 7; night++ {
		if archive, ok := news[night]; ok {
			m.WriteFile(t, "/etc/apt/sources.list", packages.Source(archive))
		}
		log, inbox := logged(t, m), len(mails(t, m.Path(mailbox)))
		out := m.Shell(t, oneNight)
		found := environments(t, m)
		if len(found) != 1 || found[0].State != "armed" {
			t.Fatalf("night %d: boot environments %v:\n%s", night, found, out)
		}
		_, isNew := news[night]
		if isNew == (found[0].Name == name) {
			t.Errorf("night %d: %s after %q, and news are %v:\n%s", night, found[0].Name, name, isNew, out)
		}
		name = found[0].Name
		added, grew := strings.CutPrefix(logged(t, m), log)
		if !grew {
			t.Errorf("night %d: the log does not begin as the night before:\n%s", night, logged(t, m))
		}
		checkNight(t, fmt.Sprintf("night %d", night), added, name, isNew)
		checkNightMail(t, night, mails(t, m.Path(mailbox))[inbox:], name, isNew)
	}
	checkOnlyOne(t, l, m, name, mounts)
	t.Logf("the log:\n%s", logged(t, m))
	// After the shutdown's sync, the files of each night exist once in both systems.
	m.Shell(t, "apt-be sync "+name)
	if diff := cmp.Diff(logged(t, m), read(t, l.Path("@be/"+name+unattendedLog))); diff != "" {
		t.Errorf("the log of the running system (-) and of %s (+):\n%s", name, diff)
	}
}

// logged returns unattended-upgrade's log, or "" if it does not exist.
func logged(t *testing.T, m *machine.Machine) string {
	t.Helper()
	data, err := os.ReadFile(m.Path(unattendedLog))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// checkNight checks that a night has one readable entry in the log.
func checkNight(t *testing.T, night, log, name string, isNew bool) {
	t.Helper()
	says := []string{"Starting unattended upgrades script", "No packages found that can be upgraded unattended", "INFO apt-be: Nothing is newer than in " + name}
	if isNew {
		says = []string{"Starting unattended upgrades script", "Packages that will be upgraded:", "All upgrades installed",
			"INFO apt-be: Boot environment " + name + " is ready", "INFO apt-be: The running system is unchanged."}
	}
	wantParts(t, night, log, says...)
	if strings.Contains(log, "Traceback") || strings.Contains(log, "ERROR") {
		t.Errorf("%s:\n%s", night, log)
	}
	var ours []string
	for line := range strings.Lines(log) {
		if _, says, found := strings.Cut(line, "apt-be: "); found {
			ours = append(ours, says)
		}
	}
	slices.Sort(ours)
	if len(slices.Compact(slices.Clone(ours))) != len(ours) || len(ours) > 5 {
		t.Errorf("%s: apt-be says too much:\n%s", night, log)
	}
}

func checkNightMail(t *testing.T, night int, inbox []string, name string, isNew bool) {
	t.Helper()
	want := 0
	if isNew {
		want = 1
	}
	if night == 3 || night == 5 { // one is from a script
		want = 2
		if len(inbox) == 2 {
			wantParts(t, "the script's mail", inbox[0], "1.0 -i -- root", "Subject: from a script", "X-Apt-Be: "+name+"; ready", "bt-many1 was configured.", "Boot environment "+name+" is ready")
		}
	}
	if len(inbox) != want {
		t.Errorf("night %d: %d mails, want %d: %q", night, len(inbox), want, inbox)
	}
	for _, mail := range inbox {
		wantParts(t, "the mail", mail, "X-Apt-Be: "+name+"; ready", "Boot environment "+name+" is ready")
	}
}

// checkOnlyOne checks that there is one environment, and no leftovers of earlier ones.
func checkOnlyOne(t *testing.T, l lab, m *machine.Machine, name string, mounts []string) {
	t.Helper()
	for _, dir := range []string{"@be", "@be-base"} {
		if found := l.Subvolumes(t, dir); !slices.Equal(found, []string{dir + "/" + name}) {
			t.Errorf("%s holds %q, the boot environment is %s", dir, found, name)
		}
	}
	for _, dir := range []string{"scratch", "journal"} {
		if entries, err := os.ReadDir(l.Path(filepath.Join("@apt-be", dir))); err == nil && len(entries) > 0 {
			t.Errorf("in @apt-be/%s there is %v", dir, entries)
		}
	}
	checkSendmailRestored(t, l, m)
	if left := m.Quiet(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}
	if now := m.Mounts(t); !slices.Equal(now, mounts) {
		t.Errorf("mounts left: %q, were %q", now, mounts)
	}
	if got := m.Shell(t, "cat /run/reboot-required.pkgs; ls /run/apt-be"); got != packages.Rebooter+"\nreboot-required.json\nroot\n" {
		t.Errorf("in /run there is %q", got)
	}
	if out := m.Shell(t, "apt-be status"); !strings.Contains(out, name) {
		t.Errorf("apt-be status says:\n%s", out)
	}
}
