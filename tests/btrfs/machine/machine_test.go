package machine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

const template = "@template"

// TestMachine tests the tools of the other tests: a machine looks like a running
// root, ends with all its processes, and entering it does not change its files.
func TestMachine(t *testing.T) {
	image := machine.NewImage(t, "stable", template)
	m := image.Start(t, template, "@rootfs")
	before := m.Fingerprint(t)
	mounts := m.Mounts(t)

	t.Run("root is a mount of the subvolume", func(t *testing.T) {
		out := m.Shell(t, `awk '$5 == "/" { root = $4; sub(/.* - /, ""); print root, $1, $2 }' /proc/self/mountinfo`)
		if want := "/@rootfs btrfs " + image.Device() + "\n"; out != want {
			t.Errorf("mountinfo says %q, want %q", out, want)
		}
	})
	t.Run("status", func(t *testing.T) {
		if got := m.Run(t, machine.Command{Args: []string{"sh", "-c", "exit 7"}}).Status; got != 7 {
			t.Errorf("status %d of exit 7", got)
		}
		if got := m.Run(t, machine.Command{Args: []string{"sh", "-c", "kill -9 $$"}}).Status; got != 137 {
			t.Errorf("status %d of kill -9", got)
		}
	})
	t.Run("stdin and environment", func(t *testing.T) {
		got := m.Run(t, machine.Command{Args: []string{"sh", "-c", `read x; echo "$x $BT"`}, Env: []string{"BT=2"}, Stdin: "1\n"})
		if got.Output != "1 2\n" {
			t.Errorf("output %q", got.Output)
		}
	})
	t.Run("terminal", func(t *testing.T) {
		term := m.Terminal(t, 30, 100, machine.Command{Args: []string{"bash", "--norc", "--noediting"}, Env: []string{"PS1=prompt>"}})
		term.Send(t, "tty; stty size; sleep 100\r")
		term.Expect(t, `/dev/pts/\d+\s+30 100\s`)
		time.Sleep(200 * time.Millisecond)
		term.Send(t, "\x1a")
		term.Expect(t, `Stopped[^>]*prompt>`)
		term.Resize(t, 40, 120)
		term.Send(t, "fg\r")
		term.Expect(t, `fg\s+sleep 100\s`)
		time.Sleep(200 * time.Millisecond)
		term.Send(t, "\x03")
		term.Expect(t, `prompt>`)
		term.Send(t, "stty size; exit 9\r")
		term.Expect(t, `40 120\s`)
		if got := term.Wait(t).Status; got != 9 {
			t.Errorf("status %d", got)
		}
	})
	t.Run("processes, nested name spaces and orphans", func(t *testing.T) {
		running := m.Start(t, machine.Command{Args: []string{"unshare", "--pid", "--fork", "sleep", "100"}})
		sleeper := m.Find(t, "sleep", func(p machine.Process) bool { return p.Runs("/usr/bin/sleep", "sleep") })
		m.Kill(t, running.PID)
		running.Wait(t)
		m.Kill(t, sleeper.PID)
		if left := m.Quiet(t); len(left) > 0 {
			t.Errorf("processes left: %v", left)
		}
	})
	t.Run("unchanged", func(t *testing.T) {
		if diff := before.Diff(m.Fingerprint(t)); len(diff) > 0 {
			t.Errorf("the root changed:\n%s", strings.Join(diff, "\n"))
		}
		if now := m.Mounts(t); strings.Join(now, "\n") != strings.Join(mounts, "\n") {
			t.Errorf("mounts %q, were %q", now, mounts)
		}
	})
	t.Run("changes are seen", func(t *testing.T) {
		m.Shell(t, "touch -d @0 /etc/motd; chmod 600 /etc/issue; rm /etc/issue.net; mkdir /etc/bt; ln -sf x /bin/sh.new")
		diff := strings.Join(before.Diff(m.Fingerprint(t)), "\n")
		for _, want := range []string{"+ /etc/motd", "+ /etc/issue -rw-------", "- /etc/issue.net", "+ /etc/bt d", "+ /usr/bin/sh.new L"} {
			if !strings.Contains(diff, want) {
				t.Errorf("the fingerprint does not show %q:\n%s", want, diff)
			}
		}
	})
	m.Stop(t)
	image.Clear(t, template)
	if left := image.Subvolumes(t, ""); len(left) != 1 {
		t.Errorf("subvolumes left: %q", left)
	}
}
