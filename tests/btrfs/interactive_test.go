package btrfs_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testInteractive checks that a user at a terminal can do the same in a redirected
// upgrade as in any other.
func testInteractive(t *testing.T, l lab) {
	t.Run("conffile prompt", func(t *testing.T) { testConffile(t, l) })
	t.Run("debconf prompt", func(t *testing.T) { testDebconf(t, l) })
	t.Run("prompt in a pipeline", func(t *testing.T) { testPipeline(t, l) })
	t.Run("keys for a pager", func(t *testing.T) { testPager(t, l) })
	t.Run("progress bar", func(t *testing.T) { testProgress(t, l) })
	t.Run("Ctrl-Z and fg", func(t *testing.T) { testSuspend(t, l) })
	t.Run("window resize", func(t *testing.T) { testResize(t, l) })
}

// testConffile looks at the differences, and then chooses the package's version.
func testConffile(t *testing.T, l lab) {
	const file, mine = "/etc/bt-conf.conf", "version = mine\n"
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.WriteFile(t, file, mine)
	before, mounts := m.Fingerprint(t), m.Mounts(t)

	term := m.Terminal(t, 40, 100, frontends()[0].quiet())
	term.Expect(t, `\(Y/I/N/O/D/Z\) \[default=N\] \?`)
	term.Send(t, "D\r")
	term.Expect(t, `-version = mine\S*\s+\S*\+version = 2\.0`)
	term.Expect(t, `\(Y/I/N/O/D/Z\) \[default=N\] \?`)
	term.Send(t, "Y\r")
	if result := term.Wait(t); result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	for name, want := range map[string]string{file: "version = 2.0\n", file + ".dpkg-old": mine} {
		if got := l.inEnvironment(t, m, name); got != want {
			t.Errorf("%s in the boot environment is %q, want %q", name, got, want)
		}
	}
}

// inEnvironment returns a file of the only environment.
func (l lab) inEnvironment(t *testing.T, m *machine.Machine, name string) string {
	t.Helper()
	found := environments(t, m)
	if len(found) != 1 {
		t.Fatalf("boot environments %v, want one", found)
	}
	data, err := os.ReadFile(l.Path("@be/" + found[0].Name + name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// testDebconf answers a question of a package's configuration.
func testDebconf(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Asks)
	defer l.done(t, m)
	before, mounts := m.Fingerprint(t), m.Mounts(t)

	command := frontends()[0].quiet()
	command.Env = []string{"DEBIAN_FRONTEND=readline"}
	term := m.Terminal(t, 40, 100, command)
	term.Expect(t, `Which colour\? *(blue)?`)
	term.Send(t, "\x15green\r") // Ctrl-U deletes the offered text
	result := term.Wait(t)
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	if asked := strings.Count(result.Output, "It has to be one."); asked != 1 {
		t.Errorf("asked %d times, want once:\n%s", asked, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	if got := l.inEnvironment(t, m, "/var/lib/bt-dconf"); got != "green\n" {
		t.Errorf("the answer in the boot environment is %q", got)
	}
}

// testPipeline answers a question of a package's configuration while the output goes to
// another program. apt itself asks no question before.
func testPipeline(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Asks)
	defer l.done(t, m)
	before, mounts := m.Fingerprint(t), m.Mounts(t)

	command := machine.Command{Args: []string{"bash", "-c", "set -o pipefail; apt-get -y dist-upgrade | cat"}, Env: []string{"DEBIAN_FRONTEND=readline"}}
	term := m.Terminal(t, 40, 100, command)
	term.Expect(t, `Which colour\? *(blue)?`)
	term.Send(t, "\x15green\r")
	result := term.Wait(t)
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	if got := l.inEnvironment(t, m, "/var/lib/bt-dconf"); got != "green\n" {
		t.Errorf("the answer in the boot environment is %q", got)
	}
}

// testPager types a key for the other program of a pipeline, which has set up the
// terminal for it.
func testPager(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.SlowPostinst)
	defer l.done(t, m)
	before, mounts := m.Fingerprint(t), m.Mounts(t)

	const script = `set -o pipefail; apt-get -y dist-upgrade | { read -rsn1 key </dev/tty; cat >/dev/null; echo "key $key"; }`
	term := m.Terminal(t, 40, 100, machine.Command{Args: []string{"bash", "-c", script}})
	m.Find(t, "the maintainer script", isNap)
	term.Send(t, "x")
	result := term.Wait(t)
	if result.Status != 0 || !strings.Contains(result.Output, "key x") {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
}

// percentage matches apt's progress bar.
var percentage = regexp.MustCompile(`Progress: \[ *(\d+)%\]`)

// testProgress compares the progress bar with that of an upgrade without apt-be.
func testProgress(t *testing.T, l lab) {
	command := frontends()[1].quiet()
	command.Args = append(command.Args, "-o", "Dpkg::Progress-Fancy=1")
	var shown [][]string
	for _, template := range []string{plain, with} {
		m := l.system(t, template, running, packages.Good)
		result := m.Terminal(t, 40, 100, command).Wait(t)
		if result.Status != 0 {
			t.Errorf("status %d:\n%s", result.Status, result.Output)
		}
		shown = append(shown, percentage.FindAllString(result.Output, -1))
		l.done(t, m)
	}
	if len(shown[0]) < 10 {
		t.Errorf("the progress bar showed only %q", shown[0])
	}
	if diff := cmp.Diff(shown[0], shown[1]); diff != "" {
		t.Errorf("progress without apt-be (-) and with it (+):\n%s", diff)
	}
}

// testSuspend stops an upgrade at its question and during its work, and continues it.
func testSuspend(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.SlowPostinst)
	defer l.done(t, m)
	before, mounts := m.Fingerprint(t), m.Mounts(t)

	shell := machine.Command{Args: []string{"bash", "--norc", "--noediting"}, Env: []string{"PS1=prompt>"}}
	term := m.Terminal(t, 40, 100, shell)
	term.Expect(t, `prompt>`)
	term.Send(t, "apt-get dist-upgrade\r")
	term.Expect(t, `\[Y/n\] `)
	term.Send(t, "\x1a")
	term.Expect(t, `Stopped\s+apt-get dist-upgrade\s+prompt>`)
	term.Send(t, "fg\r")
	term.Expect(t, `fg\s+apt-get dist-upgrade\s`)
	term.Send(t, "y\r")
	m.Find(t, "the maintainer script", isNap)
	term.Send(t, "\x1a")
	term.Expect(t, `Stopped\s+apt-get dist-upgrade\s+prompt>`)
	term.Send(t, "jobs; fg\r")
	term.Expect(t, `is ready:[^>]*prompt>`)
	term.Send(t, "echo status $?\r")
	term.Expect(t, `status 0\s`)
	term.Send(t, "exit\r")
	term.Wait(t)
	checkUntouched(t, m, before, mounts, frontends()[0])
}

// testResize changes the size of the terminal while apt draws its bar in the last line.
// apt then protects the new last line from scrolling (DECSTBM).
func testResize(t *testing.T, l lab) {
	command := frontends()[1].quiet()
	command.Args = append(command.Args, "-o", "Dpkg::Progress-Fancy=1")
	for _, template := range []string{plain, with} {
		m := l.system(t, template, running, packages.SlowPostinst)
		term := m.Terminal(t, 24, 80, command)
		term.Expect(t, `\x1b\[0;23r`)
		m.Find(t, "the maintainer script", isNap)
		term.Resize(t, 40, 120)
		term.Expect(t, `\x1b\[0;39r`)
		if result := term.Wait(t); result.Status != 0 {
			t.Errorf("status %d:\n%s", result.Status, result.Output)
		}
		l.done(t, m)
	}
}
