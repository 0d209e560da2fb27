package btrfs_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testSharing makes shares in a running system, upgrades it, and checks the shares in
// the environment.
func testSharing(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, `[ -e /etc/fstab ] || echo '# none' >/etc/fstab; mkdir -p /var/mail /home/al; echo mail >/var/mail/al; echo own >/home/al/file`)
	apt := func(status int, args ...string) string {
		t.Helper()
		result := m.Run(t, machine.Command{Args: append([]string{"apt-be"}, args...)})
		if result.Status != status {
			t.Fatalf("apt-be %q ended with %d, want %d:\n%s", args, result.Status, status, result.Output)
		}
		return result.Output
	}
	writer := m.Start(t, machine.Command{Args: []string{"sh", "-c", "exec 7>>/var/mail/al; echo ready; read x || exec sleep 600"}})
	writer.Expect(t, "ready")
	if said := apt(12, "share", "add", "/var/mail"); !strings.Contains(said, "/var/mail/al (open for writing)") || !strings.Contains(said, "hint: ") {
		t.Errorf("while a file is open it says\n%s", said)
	}
	m.Shell(t, "pkill -x sleep || kill $(pgrep -f 'sleep 600')")
	writer.Wait(t)
	apt(12, "share", "add", "/var/lib/dpkg")
	for _, dir := range []string{"/var/mail", "/home", "/var/log"} {
		apt(0, "share", "add", dir)
		m.Shell(t, "mountpoint -q "+dir)
	}
	upgraded := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	if upgraded.Status != 0 {
		t.Fatalf("the upgrade ended with %d:\n%s", upgraded.Status, upgraded.Output)
	}
	envs := environments(t, m)
	if len(envs) != 1 || envs[0].State != "ready" {
		t.Fatalf("there are %+v after\n%s", envs, upgraded.Output)
	}
	name := envs[0].Name
	if fstab := m.Shell(t, "apt-be run -r "+name+" -- cat /etc/fstab"); strings.Count(fstab, "subvol=@share/") != 3 {
		t.Errorf("its fstab is\n%s", fstab)
	}
	if list := apt(0, "share", "list", "-H"); strings.Count(list, ","+name+"\t") != 3 {
		t.Errorf("the shares are\n%s", list)
	}
	m.Shell(t, "echo more >>/var/mail/al")
	apt(0, "sync", name)
	apt(0, "share", "remove", "/var/mail")
	if mail := m.Shell(t, "mountpoint -q /var/mail || cat /var/mail/al"); mail != "mail\nmore\n" {
		t.Errorf("the mail is %q", mail)
	}
}
