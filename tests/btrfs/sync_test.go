package btrfs_test

import (
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// lived changes a machine between an upgrade and the reboot.
const lived = `set -e
sed -i -e 's|^root:[^:]*:|root:rotated:|' -e 's|^daemon:[^:]*:|daemon:!locked:|' /etc/shadow
echo newcomer:x:1234:1234::/home/newcomer:/bin/sh >>/etc/passwd
echo newcomer:x:1234: >>/etc/group
echo newcomer:secret:20000:0:99999:7::: >>/etc/shadow
mkdir -p /home/newcomer/deep /var/mail /etc/cron.d /var/lib/app/deep
echo own >/home/newcomer/deep/file
chown -R newcomer:newcomer /home/newcomer
mv /home/newcomer /home/moved
echo 'From: a' >>/var/mail/root
echo '* * * * * root true' >/etc/cron.d/mine
echo 10.9.8.7 peer >>/etc/hosts
echo line >>/var/log/syslog
echo rows >/var/lib/app/deep/data
rm /etc/motd
ln -sf /run/motd /etc/issue
chmod 0700 /srv
mkdir -p /opt/lib && cp /lib/*/libz.so.1 /opt/lib && echo /opt/lib >/etc/ld.so.conf.d/opt.conf
echo '# admin' >>/etc/bash.bashrc
echo '# edited' >>/usr/share/common-licenses/GPL-3
mkdir /usr/lib/modules/6.1-bt/updates && echo module >/usr/lib/modules/6.1-bt/updates/own.ko
# As logrotate -f does it.
for log in dpkg.log apt/history.log; do mv /var/log/$log /var/log/$log.1; touch /var/log/$log; done
`

// withKernel has modules of a kernel, and a stand-in for depmod.
const withKernel = `
mkdir -p /usr/lib/modules/6.1-bt && touch /usr/lib/modules/6.1-bt/modules.builtin
printf '#!/bin/sh\necho "$@" >/usr/lib/modules/6.1-bt/modules.dep\n' >/usr/sbin/depmod && chmod 755 /usr/sbin/depmod`

// testSync upgrades, changes the running system, and checks that the environment has
// both: the upgrade's packages, and the running system's files and accounts.
func testSync(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, `echo 'motd' >/etc/motd; echo old >/var/log/syslog
[ -e /etc/shadow ] || printf '%s:*:20000:0:99999:7:::\n' root daemon >/etc/shadow`+withKernel)
	upgraded := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}})
	if upgraded.Status != 0 {
		t.Fatalf("the upgrade ended with %d:\n%s", upgraded.Status, upgraded.Output)
	}
	var name string
	for _, e := range environments(t, m) {
		if e.Made != "guard" {
			name = e.Name
		}
	}
	if said := m.Shell(t, "apt-be drift"); !strings.Contains(said, "no file differs") {
		t.Errorf("nothing happened yet, and drift says\n%s", said)
	}
	lines := func() string {
		return m.Shell(t, "apt-be run -r "+name+" -- sh -c 'cat /var/log/dpkg.log* /var/log/apt/history.log* | wc -l'")
	}
	logged := lines()
	m.Shell(t, lived)
	if said := m.Shell(t, "apt-be drift --files"); !strings.Contains(said, "/var/lib/app/deep/data") || strings.Contains(said, "refused") {
		t.Errorf("drift says\n%s", said)
	}
	packagesBefore := m.Shell(t, "apt-be run -r "+name+" -- dpkg-query -W")
	m.Shell(t, "apt-be sync "+name)
	for command, want := range map[string]string{
		"grep ^root: /etc/shadow | cut -d: -f2":      "rotated",
		"grep ^daemon: /etc/shadow | cut -d: -f2":    "!locked",
		"grep ^newcomer: /etc/shadow | cut -d: -f2":  "secret",
		"tail -n 1 /var/mail/root":                   "From: a",
		"tail -n 1 /etc/hosts":                       "10.9.8.7 peer",
		"tail -n 1 /var/log/syslog":                  "line",
		"cat /var/lib/app/deep/data":                 "rows",
		"test -e /etc/motd || echo gone":             "gone",
		"readlink /etc/issue":                        "/run/motd",
		"stat -c %a /srv":                            "700",
		"ldconfig -p | grep -o /opt/lib/libz.so.1":   "/opt/lib/libz.so.1",
		"tail -n 1 /etc/bash.bashrc":                 "# admin",
		"stat -c %U /home/moved/deep/file":           "newcomer",
		"test -e /home/newcomer || echo gone":        "gone",
		"tail -n 1 /usr/share/common-licenses/GPL-3": "# edited",
		"cat /usr/lib/modules/6.1-bt/updates/own.ko": "module",
		"cat /usr/lib/modules/6.1-bt/modules.dep":    "-a -- 6.1-bt",
		"dpkg --audit; echo $?":                      "0",
	} {
		got := m.Shell(t, "apt-be run -r "+name+" -- sh -c '"+command+"'")
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
	if after := lines(); after != logged {
		t.Errorf("in logs that were rotated are %s lines, before %s", after, logged)
	}
	if after := m.Shell(t, "apt-be run -r "+name+" -- dpkg-query -W"); after != packagesBefore {
		t.Errorf("the packages are\n%s\nwant\n%s", after, packagesBefore)
	}
	if said := m.Shell(t, "apt-be sync "+name); !strings.Contains(said, "no file differs") {
		t.Errorf("the second time it says\n%s", said)
	}
	// A change of packages cannot be carried.
	m.Shell(t, "dpkg -r bt-svc")
	if result := m.Run(t, machine.Command{Args: []string{"apt-be", "sync", name}}); result.Status != 12 {
		t.Errorf("after a removal: status %d:\n%s", result.Status, result.Output)
	}
}
