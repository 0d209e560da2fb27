package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testBadInput gives apt-be bad input: bad output of the dpkg of a root that is
// examined, and a FIFO instead of a record.
func testBadInput(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	// A package that replaces the root's dpkg.
	deb := packages.Exact{
		Name: "bt-bad", Version: "1", Time: time.Unix(1e9, 0),
		Control: map[string]string{"postinst": `#!/bin/sh
set -e
mv /usr/bin/dpkg /usr/bin/dpkg.bt
{ echo '#!/bin/sh'; echo 'case "$*" in *--audit*)'; cat /etc/bt-audit; echo ';; esac'; echo 'exec dpkg.bt "$@"'; } >/usr/bin/dpkg
chmod 755 /usr/bin/dpkg
`},
	}
	file, err := deb.Write(m.Path("/srv"))
	if err != nil {
		t.Fatal(err)
	}
	install := machine.Command{Args: []string{"apt-be", "install", "--name", "bad", "-y", filepath.Join("/srv", file)}}
	check := func(result machine.Result, status int, says string) {
		t.Helper()
		found := environments(t, m)
		said := strings.Join(strings.Fields(strings.ReplaceAll(result.Output, "apt-be: ", "")), " ")
		if result.Status != status || len(found) != 1 || found[0].State != "failed" || !strings.Contains(said, says) {
			t.Errorf("status %d, want %d; boot environments %v:\n%s", result.Status, status, found, result.Output)
		}
		m.Shell(t, "apt-be destroy bad")
	}

	m.WriteFile(t, "/etc/bt-audit", "exec cat /dev/zero\n")
	check(m.Run(t, install), 100, "The upgrade failed: dpkg --audit was killed: it printed more than 1048576 bytes.")

	m.WriteFile(t, "/etc/bt-audit", "trap '' TERM INT HUP; while :; do sleep 1234.5; done\n")
	hangs := m.Start(t, install)
	m.Find(t, "what hangs", func(p machine.Process) bool { return strings.Join(p.Args, " ") == "sleep 1234.5" })
	if err := unix.Kill(hangs.PID, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	check(hangs.Wait(t), 128+int(unix.SIGTERM), "The upgrade failed: dpkg --audit was killed by a signal.")
	if left := m.Quiet(t); len(left) > 0 {
		t.Errorf("processes left: %v", left)
	}

	// A FIFO instead of a record. No process writes to it, so a program that opens it
	// for reading would block for ever.
	m.Shell(t, "apt-be create env; apt-be create other")
	records, err := filepath.Glob(l.Path("@apt-be/be/*.json"))
	if err != nil || len(records) < 2 {
		t.Fatalf("records %q, %v", records, err)
	}
	for _, record := range records {
		if data, err := os.ReadFile(record); err != nil || strings.Contains(string(data), `"path"`) {
			continue // the running root's
		}
		if err := os.Remove(record); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mkfifo(record, 0o600); err != nil {
			t.Fatal(err)
		}
		break
	}
	if said := m.Shell(t, "apt-be list 2>&1"); !strings.Contains(said, "not a regular file but a FIFO") || !strings.Contains(said, "unreadable") {
		t.Errorf("apt-be list says:\n%s", said)
	}
	result := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	if result.Status != 100 || !strings.Contains(result.Output, ".json") || !strings.Contains(result.Output, "a FIFO") {
		t.Errorf("the upgrade: status %d:\n%s", result.Status, result.Output)
	}
	m.Shell(t, "apt-be create third && apt-be destroy third")
	if left := m.Shell(t, "apt-be list -H 2>/dev/null | wc -l"); strings.TrimSpace(left) != "3" {
		t.Errorf("there are %s boot environments", left)
	}
}
