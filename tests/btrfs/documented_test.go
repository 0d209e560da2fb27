package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
	"github.com/apt-be/apt-be/tests/docs"
)

// testDocumented types the commands of the README that need a Debian root, in order, on
// one machine. NAME is the environment that the upgrade made.
func testDocumented(t *testing.T, l lab) {
	documents, err := docs.Read(l.Project())
	if err != nil {
		t.Fatal(err)
	}
	m := l.system(t, plain, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, `[ -e /etc/fstab ] || echo '# none' >/etc/fstab; mkdir -p /var/mail; echo mail >/var/mail/al`)
	deb := l.builtPackage(t)
	data, err := os.ReadFile(deb)
	if err != nil {
		t.Fatal(err)
	}
	m.WriteFile(t, "/srv/"+filepath.Base(deb), string(data))
	count := 0
	for _, d := range documents {
		for _, c := range d.Commands {
			if !c.Typed || !docs.Places[c.Text].Machine {
				continue
			}
			count++
			line := strings.TrimPrefix(c.Text, "sudo ")
			if strings.Contains(line, "NAME") {
				line = strings.ReplaceAll(line, "NAME", pendingName(t, m))
			}
			result := m.Run(t, machine.Command{Args: []string{"sh", "-c", "cd /srv; " + line}, Stdin: "y\n"})
			if result.Status != 0 {
				t.Fatalf("%s: %s: exit status %d\n%s", c.Place(), line, result.Status, result.Output)
			}
		}
	}
	if count < 8 {
		t.Errorf("only %d commands ran", count)
	}
	if mail := m.Shell(t, "mountpoint -q /var/mail || cat /var/mail/al"); mail != "mail\n" {
		t.Errorf("after share remove, the mail is %q", mail)
	}
}

// pendingName returns the name of the only environment that is ready.
func pendingName(t *testing.T, m *machine.Machine) string {
	t.Helper()
	envs := environments(t, m)
	if len(envs) != 1 || envs[0].State != "ready" {
		t.Fatalf("there are %+v, want one environment that is ready", envs)
	}
	return envs[0].Name
}
