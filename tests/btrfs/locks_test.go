package btrfs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
	"github.com/apt-be/apt-be/tests/expect"
)

// holdLock is a command that holds the lock of package frontends.
func holdLock() machine.Command {
	return machine.Command{Args: []string{"python3", "-c", `
import fcntl, time
f = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(f, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(100)
`}}
}

// testLocks checks that package frontends exclude each other, in the running root and
// in environments.
func testLocks(t *testing.T, l lab) {
	for _, f := range frontends() {
		t.Run("running root locked, "+f.name, func(t *testing.T) { testRootLocked(t, l, f) })
	}
	t.Run("running root locked for a while", func(t *testing.T) { testRootUnlocks(t, l) })
	t.Run("upgrade under way", func(t *testing.T) { testUnderWay(t, l) })
}

// message matches apt's messages in its output.
var (
	message = regexp.MustCompile(`(?m)^(E|N|W|Error|Notice|Warning): .*$|^(Cache lock|Lock) .*$`)
	process = regexp.MustCompile(`process \d+`)
)

// messages returns apt's messages without process IDs.
func messages(output string) []string {
	return message.FindAllString(process.ReplaceAllString(output, "process PID"), -1)
}

func testRootLocked(t *testing.T, l lab, f frontend) {
	command := f.quiet()
	if f.command != "unattended-upgrade" {
		command.Args = append(command.Args, "-o", "DPkg::Lock::Timeout=0")
	}
	var results []machine.Result
	for _, template := range []string{plain, with} {
		m := l.system(t, template, running, packages.Good)
		holder := m.Start(t, holdLock())
		holder.Expect(t, "locked")
		results = append(results, m.Run(t, command))
		m.Kill(t, holder.PID)
		holder.Wait(t)
		checkNoEnvironment(t, l)
		l.done(t, m)
	}
	want, got := results[0], results[1]
	if got.Status != want.Status {
		t.Errorf("status %d, without apt-be %d", got.Status, want.Status)
	}
	wanted, gotten := messages(want.Output), messages(got.Output)
	if f.command == "aptitude" {
		// apt continues without the lock after its first messages, and prints the same
		// messages again.
		wanted = wanted[:min(2, len(wanted))]
	}
	if diff := cmp.Diff(wanted, gotten); diff != "" {
		t.Errorf("messages without apt-be (-) and with it (+):\n%s\nall of it:\n%s\n%s", diff, want.Output, got.Output)
	}
}

// testRootUnlocks checks that apt's own option to wait for the lock works.
func testRootUnlocks(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	holder := m.Start(t, holdLock())
	holder.Expect(t, "locked")
	upgrade := m.Start(t, machine.Command{Args: []string{"apt-get", "-y", "-o", "DPkg::Lock::Timeout=60", "dist-upgrade"}})
	upgrade.Expect(t, "Waiting for cache lock: ")
	awaitOpen(t, fmt.Sprintf("/proc/%d/root/var/lib/dpkg/lock-frontend", holder.PID))
	checkNoEnvironment(t, l)
	released := time.Now()
	m.Kill(t, holder.PID)
	holder.Wait(t)
	if result := upgrade.Wait(t); result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	found := environments(t, m)
	if len(found) != 1 || found[0].State != "ready" {
		t.Fatalf("boot environments %v, want one that is ready", found)
	}
	if found[0].Created.Before(released) {
		t.Errorf("%s was created at %s, before the lock was released at %s", found[0].Name, found[0].Created, released)
	}
}

// awaitOpen blocks until a process opens a file, as each attempt to take a lock does.
func awaitOpen(t *testing.T, file string) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, file, unix.IN_OPEN); err != nil {
		t.Fatal(err)
	}
	opened := expect.Until(time.Minute, func() bool {
		n, err := unix.Read(fd, make([]byte, 4096))
		return err == nil && n > 0
	})
	if !opened {
		t.Fatalf("no process opened %s again", file)
	}
}

// testUnderWay checks that the running root's packages cannot be changed while an
// environment is made from it.
func testUnderWay(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.SlowPostinst)
	defer l.done(t, m)
	upgrade := m.Start(t, frontends()[0].quiet())
	m.Find(t, "the maintainer script", isNap)
	// Files that apt writes without the lock, or in a simulation.
	stock := []string{"/var/lib/dpkg/lock", "/var/lib/dpkg/lock-frontend", "/var/log/apt", "/var/log/apt/eipp.log.xz"}
	before := m.Fingerprint(t).Without(stock...)
	for _, line := range []string{
		"apt-get -y install bt-newlib",
		"apt-get -y dist-upgrade",
		"apt-get -y remove bt-many1",
	} {
		result := m.Run(t, machine.Command{Args: strings.Fields(line)})
		if result.Status != 100 || !strings.Contains(result.Output, "Could not get lock /var/lib/dpkg/lock-frontend. It is held by process ") {
			t.Errorf("%s during an upgrade: status %d:\n%s", line, result.Status, result.Output)
		}
	}
	if result := m.Run(t, machine.Command{Args: []string{"dpkg", "--remove", "bt-many1"}}); result.Status != 2 || !strings.Contains(result.Output, "lock") {
		t.Errorf("dpkg during an upgrade: status %d:\n%s", result.Status, result.Output)
	}
	m.Shell(t, "apt-get -s install bt-newlib; apt list --upgradable; dpkg -l")
	if diff := before.Diff(m.Fingerprint(t).Without(stock...)); len(diff) > 0 {
		t.Errorf("the running root changed:\n%s", strings.Join(diff, "\n"))
	}
	if result := upgrade.Wait(t); result.Status != 0 {
		t.Errorf("the upgrade itself: status %d:\n%s", result.Status, result.Output)
	}
	if found := environments(t, m); len(found) != 1 || found[0].State != "ready" {
		t.Errorf("boot environments %v, want one that is ready", found)
	}
}
