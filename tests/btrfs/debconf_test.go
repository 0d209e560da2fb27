package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testDebconfAnswers checks in which system answers to debconf questions are stored.
// testInteractive covers questions on a terminal.
func testDebconfAnswers(t *testing.T, l lab) {
	for name, c := range map[string]struct{ preseed, env, answer string }{
		"noninteractive":            {"", "DEBIAN_FRONTEND=noninteractive", "blue"},
		"preseeded":                 {"red", "DEBIAN_FRONTEND=noninteractive", "red"},
		"preseeded, on no terminal": {"red", "LC_ALL=C", "red"},
	} {
		t.Run(name, func(t *testing.T) {
			m := l.system(t, with, running, packages.Asks)
			defer l.done(t, m)
			if c.preseed != "" {
				preseed(t, m, c.preseed)
			}
			before := debconfFiles(t, m)
			result := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}, Env: []string{c.env}})
			if result.Status != 0 {
				t.Errorf("status %d:\n%s", result.Status, result.Output)
			}
			if got := l.inEnvironment(t, m, "/var/lib/bt-dconf"); got != c.answer+"\n" {
				t.Errorf("the answer in the boot environment is %q", got)
			}
			if after := debconfFiles(t, m); after != before {
				t.Errorf("debconf's database is\n%s\nand was\n%s", after, before)
			}
		})
	}
	t.Run("while an environment waits", func(t *testing.T) { testDebconfPending(t, l) })
}

// preseed answers the question of bt-dconf before it is asked.
func preseed(t *testing.T, m *machine.Machine, colour string) {
	t.Helper()
	m.Shell(t, "echo bt-dconf bt-dconf/colour string "+colour+" | debconf-set-selections")
}

// debconfFiles returns the files of debconf's database.
func debconfFiles(t *testing.T, m *machine.Machine) string {
	t.Helper()
	dir := m.Path("/var/cache/debconf")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, entry := range entries {
		if entry.IsDir() { // of dpkg-preconfigure, while it works
			continue
		}
		data, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(entry.Name() + "\n" + string(data))
	}
	return all.String()
}

// testDebconfPending answers questions in the running system while an environment is
// pending. The pending environment and a new one both get these answers.
func testDebconfPending(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Asks)
	defer l.done(t, m)
	upgrade := func(says string) string {
		t.Helper()
		result := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}, Env: []string{"DEBIAN_FRONTEND=noninteractive"}})
		if result.Status != 0 || !strings.Contains(strings.ReplaceAll(result.Output, "\napt-be: ", " "), says) {
			t.Errorf("status %d, want %q:\n%s", result.Status, says, result.Output)
		}
		name, _ := pendingOne(t, m)
		return name
	}
	inside := func(name, command string) string {
		t.Helper()
		return m.Shell(t, "apt-be run -r "+name+" -- "+command)
	}
	first := upgrade("is ready")

	// Both systems have written to the database. The running system adds a question of
	// a package that is in neither, and the answer to a question that was answered in
	// the environment.
	m.Shell(t, "echo later later/choice string mine | debconf-set-selections")
	preseed(t, m, "green")
	if said := m.Shell(t, "apt-be drift --files"); !strings.Contains(said, "/var/cache/debconf/config.dat") {
		t.Errorf("drift says\n%s", said)
	}
	m.Shell(t, "apt-be sync "+first)
	for question, want := range map[string]string{"bt-dconf": "bt-dconf/colour: green", "later": "later/choice: mine"} {
		if got := inside(first, "debconf-show "+question); !strings.Contains(got, want) {
			t.Errorf("debconf-show %s in the environment says %q, want %q", question, got, want)
		}
	}

	// The pending environment would not ask again, so the upgrade is repeated with the
	// new answers.
	preseed(t, m, "red")
	second := upgrade("is outdated: answers to debconf's questions")
	if got := inside(second, "cat /var/lib/bt-dconf"); got != "red\n" {
		t.Errorf("the answer in the new environment is %q", got)
	}
}

// testReconfigure runs dpkg-reconfigure in the running system while an environment is
// pending. It changes only files, no packages, so the files are carried.
func testReconfigure(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Asks)
	defer l.done(t, m)
	m.Shell(t, "export APT_BE_BYPASS=1 DEBIAN_FRONTEND=noninteractive; apt-get -qy install bt-dconf")
	m.Shell(t, "DEBIAN_FRONTEND=noninteractive apt-get -y dist-upgrade 2>&1")
	name, _ := pendingOne(t, m)
	said := m.Shell(t, "DEBIAN_FRONTEND=noninteractive; export DEBIAN_FRONTEND; echo bt-dconf bt-dconf/colour string green | debconf-set-selections; dpkg-reconfigure bt-dconf 2>&1")
	if strings.Contains(said, "lacks this change") {
		t.Errorf("it says\n%s", said)
	}
	if got := m.Shell(t, "cat /var/lib/bt-dconf"); got != "green\n" {
		t.Fatalf("the answer in the running system is %q", got)
	}
	m.Shell(t, "apt-be sync "+name)
	for command, want := range map[string]string{
		"cat /var/lib/bt-dconf": "green\n",
		"debconf-show bt-dconf": "* bt-dconf/colour: green\n",
	} {
		if got := m.Shell(t, "apt-be run -r "+name+" -- "+command); got != want {
			t.Errorf("%s says %q in the environment", command, got)
		}
	}
}
