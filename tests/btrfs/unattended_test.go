package btrfs_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testUnattended checks that unattended-upgrade's mail, logs and stamps reach the
// running system, as without apt-be.
func testUnattended(t *testing.T, l lab) {
	t.Run("mail", func(t *testing.T) { testUnattendedMail(t, l) })
	t.Run("whole", func(t *testing.T) { testUnattendedWhole(t, l) })
	t.Run("reboot", func(t *testing.T) { testUnattendedReboot(t, l) })
	t.Run("a mail system that comes", func(t *testing.T) { testMailSystemComes(t, l) })
}

const mailbox = "/var/mail/root"

// mailing makes a machine that sends mail and accepts reboots: the arguments of
// shutdown are in /run/shutdown.
func (l lab) mailing(t *testing.T, template, root string, archive packages.Variant, settings ...string) *machine.Machine {
	t.Helper()
	m := l.Start(t, template, root)
	m.Shell(t, "apt-get -q update; apt-get -qy install "+packages.Sendmail+" "+packages.Rebooter)
	m.WriteFile(t, "/etc/apt/apt.conf.d/53mail", "Unattended-Upgrade::Mail \"root\";\n"+strings.Join(settings, "\n")+"\n")
	m.Shell(t, `printf '#!/bin/sh\necho "$@" >>/run/shutdown\n' >/sbin/shutdown; chmod +x /sbin/shutdown`)
	if root == running {
		l.makeBootable(t, m)
	}
	offer(t, m, archive)
	return m
}

// makeBootable has the effect of apt-be init: a kernel, an initrd that ends a trial,
// and a boot menu in the store.
func (l lab) makeBootable(t *testing.T, m *machine.Machine) {
	t.Helper()
	m.Shell(t, `mkdir -p /boot /lib/modules/1.0-bt
echo kernel >/boot/vmlinuz-1.0-bt; echo initrd >/boot/initrd.img-1.0-bt; echo >/lib/modules/1.0-bt/modules.dep
printf '#!/bin/sh\necho scripts/local-premount/apt-be\n' >/usr/bin/lsinitramfs; chmod +x /usr/bin/lsinitramfs
apt-be create seed && apt-be destroy seed`)
	l.Create(t, "@grub")
	for name, content := range map[string]string{
		"@apt-be/boot.json": `{"schema": 1, "loader": "grub", "origin": "@rootfs", "menu_in_store": true}`,
		"@grub/apt-be.cfg":  "# default: rootfs\n",
	} {
		if err := os.WriteFile(l.Path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Shell(t, "apt-be refresh-menu")
}

// mails returns the messages in a mailbox.
func mails(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut("\n"+string(data), "\n== ")
	if !found {
		return nil
	}
	return strings.Split(rest, "\n== ")
}

// subjects returns the subjects of messages, without the part about a required reboot.
func subjects(messages []string) []string {
	var found []string
	for _, m := range messages {
		for line := range strings.Lines(m) {
			if subject, ok := strings.CutPrefix(line, "Subject: "); ok {
				found = append(found, strings.TrimSpace(strings.ReplaceAll(subject, "[reboot required]", "")))
				break
			}
		}
	}
	return found
}

// wantParts checks that a text contains parts in order.
func wantParts(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	// With any line breaks.
	rest := strings.Join(strings.Fields(strings.ReplaceAll(text, "=\n", "")), " ")
	for _, part := range parts {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%s has no %q in its place:\n%s", what, part, text)
			return
		}
		rest = after
	}
}

// testUnattendedMail compares the recipients and times of mail with those without
// apt-be.
func testUnattendedMail(t *testing.T, l lab) {
	for _, c := range []struct {
		report  string
		archive packages.Variant
		about   string // the result of the run in the message
	}{
		{report: "always", archive: packages.Empty, about: "none"},
		{report: "on-change", archive: packages.Empty},
		{report: "on-change", archive: packages.FirstNight, about: "ready"},
		{report: "only-on-error", archive: packages.FirstNight},
		{report: "only-on-error", archive: packages.PostinstFails, about: "failed"},
	} {
		t.Run(c.report+" "+string(c.archive), func(t *testing.T) {
			setting := fmt.Sprintf("Unattended-Upgrade::MailReport %q;", c.report)
			native := l.mailing(t, plain, "@native", c.archive, setting)
			native.Shell(t, "apt-mark hold bt-conf")
			want := native.Run(t, machine.Command{Args: []string{"unattended-upgrade"}})
			kept := keptBack(t, native)
			sent := subjects(mails(t, native.Path(mailbox)))
			l.done(t, native)

			m := l.mailing(t, with, running, c.archive, setting)
			defer l.done(t, m)
			m.Shell(t, "apt-mark hold bt-conf")
			before, mounts := m.Fingerprint(t), m.Mounts(t)
			got := m.Run(t, machine.Command{Args: []string{"unattended-upgrade"}})
			if got.Status != want.Status {
				t.Errorf("status %d, without apt-be %d:\n%s", got.Status, want.Status, got.Output)
			}
			if now := keptBack(t, m); now != kept {
				t.Errorf("kept back is %q, without apt-be %q", now, kept)
			}
			inbox := mails(t, m.Path(mailbox))
			if diff := cmp.Diff(sent, subjects(inbox)); diff != "" {
				t.Errorf("mail without apt-be (-) and with it (+):\n%s\n%s", diff, got.Output)
			}
			checkUntouched(t, m, before, mounts, frontend{command: "unattended-upgrade"}, "/var/mail", mailbox)
			if c.about != "" && len(inbox) == 1 {
				wantParts(t, "the mail", inbox[0], "X-Apt-Be: ", c.about, "This message describes changes in a boot environment, not in the running system:")
			}
			checkSendmailRestored(t, l, m)
		})
	}
}

// keptBack is unattended-upgrade's record of kept-back packages for the motd.
func keptBack(t *testing.T, m *machine.Machine) string {
	t.Helper()
	data, err := os.ReadFile(m.Path("/var/lib/unattended-upgrades/kept-back"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return string(data)
}

// checkSendmailRestored checks that environments keep nothing of their construction: no
// mail, no diversion, no configuration.
func checkSendmailRestored(t *testing.T, l lab, m *machine.Machine) {
	t.Helper()
	for _, e := range environments(t, m) {
		root := "@be/" + e.Name
		// Its origin may have had some already.
		if own, err := os.ReadFile(l.Path(root + mailbox)); err == nil && !strings.HasPrefix(read(t, m.Path(mailbox)), string(own)) {
			t.Errorf("%s has mail of its own:\n%s", e.Name, own)
		}
		if now, was := read(t, l.Path(root+"/var/lib/dpkg/diversions")), read(t, m.Path("/var/lib/dpkg/diversions")); now != was {
			t.Errorf("the diversions of %s are\n%s, of the running system\n%s", e.Name, now, was)
		}
		for _, name := range []string{"/usr/sbin/sendmail.apt-be", "/etc/apt/apt.conf.d/zzzz-apt-be"} {
			if _, err := os.Lstat(l.Path(root + name)); !os.IsNotExist(err) {
				t.Errorf("%s is left in %s: %v", name, e.Name, err)
			}
		}
		if info, err := os.Lstat(l.Path(root + "/usr/sbin/sendmail")); err != nil || !info.Mode().IsRegular() {
			t.Errorf("the sendmail of %s: %v, %v", e.Name, info, err)
		}
	}
}

// testUnattendedWhole runs unattended-upgrade with a kept-back package, and checks all
// files that the running system gets.
func testUnattendedWhole(t *testing.T, l lab) {
	settings := []string{`Unattended-Upgrade::Automatic-Reboot "true";`, `Unattended-Upgrade::Automatic-Reboot-Time "03:30";`}
	run := func(m *machine.Machine) machine.Result {
		// A changed conffile would cause a prompt, so the package is kept back.
		m.Shell(t, "echo mine >>/etc/bt-conf.conf")
		return m.Run(t, machine.Command{Args: []string{"unattended-upgrade"}, Env: []string{"PYTHONHASHSEED=0"}})
	}
	const stamp = "/var/lib/apt/periodic/unattended-upgrades-stamp"
	state := func(m *machine.Machine, root string) map[string]string {
		found := map[string]string{"transactions": fmt.Sprint(strings.Count(read(t, m.Image.Path(root+"/var/log/apt/history.log")), "Commandline: /usr/bin/unattended-upgrade\n"))}
		found[stamp] = read(t, m.Path(stamp))
		return found
	}
	native := l.mailing(t, plain, "@native", packages.FirstNight, settings...)
	wanted := run(native)
	want := state(native, "@native")
	shutdown := native.Shell(t, "cat /run/shutdown")
	l.done(t, native)

	m := l.mailing(t, with, running, packages.FirstNight, settings...)
	defer l.done(t, m)
	result := run(m)
	found := environments(t, m)
	if result.Status != wanted.Status || len(found) != 1 || found[0].State != "armed" {
		t.Fatalf("status %d, without apt-be %d; boot environments %v:\n%s", result.Status, wanted.Status, found, result.Output)
	}
	name := found[0].Name
	// Files that both systems got from the run need no decision.
	if drift := m.Shell(t, "apt-be drift "+name); strings.Contains(drift, "/var/log/") && strings.Contains(drift, "changed its") {
		t.Errorf("apt-be drift says\n%s", drift)
	}
	if diff := cmp.Diff(want, state(m, "@be/"+name)); diff != "" {
		t.Errorf("without apt-be (-) and with it (+):\n%s", diff)
	}
	checkSendmailRestored(t, l, m)
	inbox := mails(t, m.Path(mailbox))
	if len(inbox) != 1 {
		t.Fatalf("mail is %q", inbox)
	}
	wantParts(t, "the mail", inbox[0], "1.0 -i -t --", "[package on hold]", "X-Apt-Be: "+name+"; ready",
		"Packages that attempted to upgrade:", "bt-many1 bt-mta bt-reboot", "kept back:", "bt-conf",
		"This message describes changes in a boot environment", "Boot environment "+name+" is ready",
		"The running system is unchanged. The next boot tries "+name+" and falls back if it is unhealthy", "The machine reboots into "+name)
	if got := m.Shell(t, "cat /run/shutdown"); got != shutdown || got != "-r 03:30\n" {
		t.Errorf("shutdown was told %q, without apt-be %q", got, shutdown)
	}
	if got := m.Shell(t, "cat /run/reboot-required /run/reboot-required.pkgs"); got != "*** System restart required ***\n"+packages.Rebooter+"\n" {
		t.Errorf("that a reboot is due says %q", got)
	}
	log := read(t, m.Path("/var/log/unattended-upgrades/unattended-upgrades.log"))
	wantParts(t, "the log", log, "Starting unattended upgrades script", "INFO apt-be: Boot environment "+name+" is ready", "INFO apt-be: The machine reboots into "+name)
	if strings.Contains(log, "Traceback") || strings.Contains(log, "shutdown:") {
		t.Errorf("the log:\n%s", log)
	}

	// Nothing is new, and the machine has not been rebooted yet.
	m.Shell(t, "rm /run/shutdown")
	run(m)
	if got := m.Shell(t, "cat /run/shutdown"); got != "-r 03:30\n" {
		t.Errorf("the second time shutdown was told %q", got)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
	}
	return string(data)
}

// testUnattendedReboot checks the reboot-required flag, and when Automatic-Reboot takes
// effect.
func testUnattendedReboot(t *testing.T, l lab) {
	m := l.mailing(t, with, running, packages.FirstNight,
		`Unattended-Upgrade::Automatic-Reboot "true";`, `Unattended-Upgrade::Automatic-Reboot-WithUsers "false";`)
	defer l.done(t, m)
	flags := func(when, want string) {
		t.Helper()
		if got := m.Shell(t, "cd /run; cat reboot-required.pkgs 2>/dev/null || true; ls reboot-required 2>/dev/null || true"); got != want {
			t.Errorf("%s: that a reboot is due says %q, want %q", when, got, want)
		}
	}
	told := func(when, want, says string) {
		t.Helper()
		out := m.Run(t, machine.Command{Args: []string{"unattended-upgrade"}}).Output
		if got := m.Shell(t, "cat /run/shutdown 2>/dev/null || true; rm -f /run/shutdown"); got != want {
			t.Errorf("%s: shutdown was told %q, want %q:\n%s", when, got, want, out)
		}
		wantParts(t, when, strings.ReplaceAll(out, "apt-be: ", ""), says)
	}
	const asked = packages.Rebooter + "\nreboot-required\n"
	m.Shell(t, `cp /usr/bin/users /usr/bin/users.real; printf '#!/bin/sh\necho root root admin\n' >/usr/bin/users`)
	told("with somebody logged in", "", "A reboot is required, but users are logged in (admin, root)")
	flags("armed", asked)
	m.Shell(t, "mv /usr/bin/users.real /usr/bin/users")
	told("with nobody logged in", "-r now\n", "The machine reboots into")
	flags("armed, again", asked)

	name := environments(t, m)[0].Name
	m.Shell(t, "apt-be deactivate")
	flags("deactivated", "")
	told("deactivated", "", "is ignored, because the next boot would start the running system again")
	flags("deactivated, again", "")
	m.Shell(t, "apt-be activate "+name)
	flags("activated", "reboot-required\n")
	// Another program asks, too: its request is kept.
	m.Shell(t, "echo theirs >>/run/reboot-required.pkgs")
	m.Shell(t, "dpkg -r bt-svc")
	for _, e := range environments(t, m) { // there are safety snapshots, too
		if e.Name == name && e.State != "stale" {
			t.Errorf("%s is %s", name, e.State)
		}
	}
	flags("stale", "theirs\nreboot-required\n")
	m.Shell(t, "rm /run/reboot-required*")
	told("made anew", "-r now\n", "The machine reboots into")
	flags("made anew", asked)
	m.Shell(t, "apt-be deactivate; apt-be destroy $(apt-be list -H | cut -f1 | grep '^20')")
	flags("destroyed", "")
}

// testMailSystemComes upgrades to a mail system on a machine without one: it is
// installed completely, and sends no mail.
func testMailSystemComes(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Installed)
	defer l.done(t, m)
	out := m.Shell(t, "apt-be install -y "+packages.Sendmail+" 2>&1")
	found := environments(t, m)
	if len(found) != 1 || found[0].State != "ready" {
		t.Fatalf("boot environments %v:\n%s", found, out)
	}
	checkSendmailRestored(t, l, m)
	out = m.Shell(t, "apt-be run "+found[0].Name+" -- sh -c 'dpkg -S /usr/sbin/sendmail; dpkg --verify "+packages.Sendmail+"; dpkg-divert --list'")
	if !strings.HasPrefix(out, packages.Sendmail+": /usr/sbin/sendmail\n") || strings.Contains(out, "sendmail.apt-be") {
		t.Errorf("dpkg says of it:\n%s", out)
	}
}
