package btrfs_test

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// testSynclistAccounts changes the accounts on both sides.
func testSynclistAccounts(t *testing.T, l lab) {
	w := newWaiting(t, l, func(m *machine.Machine) {
		m.Shell(t, `[ -e /etc/shadow ] || printf 'root:*:20000:0:99999:7:::\n' >/etc/shadow
for name in rotates locked leaves stays; do
	id=$((2000 + $(grep -c . /etc/passwd)))
	echo "$name:x:$id:$id::/home/$name:/bin/sh" >>/etc/passwd
	echo "$name:x:$id:" >>/etc/group
	echo "$name:old:20000:0:99999:7:::" >>/etc/shadow
done
echo team:x:3000:locked,leaves,stays >>/etc/group
echo x >/srv/team`)
	})
	// As a package's script does it: an account with the next free number, and files of
	// the account.
	w.inside(t, `echo _bt:x:150:150::/var/lib/bt:/usr/sbin/nologin >>/etc/passwd
echo _bt:x:150: >>/etc/group
echo '_bt:!:20000::::::' >>/etc/shadow
sed -i 's/^team:.*/&,_bt/' /etc/group
mkdir -p /var/lib/bt/deep
for name in own setuid shared; do echo x >/var/lib/bt/deep/$name; done
ln /var/lib/bt/deep/own /var/lib/bt/own
ln -s own /var/lib/bt/link
chown -hR _bt:_bt /var/lib/bt
chmod 4755 /var/lib/bt/deep/setuid
chown root:root /var/lib/bt/deep/shared`)
	storeMust(t, setACL(w.target("/var/lib/bt/deep/shared"), 150))
	storeMust(t, setACL(w.target("/srv/team"), 150))
	w.Shell(t, `sed -i -e 's/^rotates:old:20000/rotates:new:20001/' -e 's/^locked:/locked:!/' -e '/^leaves:/d' /etc/shadow
sed -i -e '/^leaves:/d' /etc/passwd
sed -i -e '/^leaves:/d' -e 's/,leaves//' /etc/group
echo mon:x:150:150::/srv/mon:/bin/sh >>/etc/passwd
echo mon:x:150: >>/etc/group
echo mon:secret:20001:0:99999:7::: >>/etc/shadow
chown daemon /srv/team
mkdir -p /srv/mon; echo x >/srv/mon/own; chown -R mon:mon /srv/mon`)
	w.outcomes(t, "sync")

	inside := func(script string) string { return strings.TrimSpace(w.inside(t, script)) }
	for script, want := range map[string]string{
		"grep ^rotates: /etc/shadow | cut -d: -f2,3":                "new:20001",
		"grep ^locked: /etc/shadow | cut -d: -f2":                   "!old",
		"grep ^stays: /etc/shadow | cut -d: -f2":                    "old",
		"grep -h leaves /etc/passwd /etc/shadow /etc/group || true": "",
		"grep ^team: /etc/group | cut -d: -f4":                      "locked,stays,_bt",
		"id -u mon; id -g mon":                                      "150\n150",
		"id -un 150; stat -c %U:%G /srv/mon/own":                    "mon\nmon:mon",
		"test $(id -u _bt) = $(id -g _bt) && test $(id -u _bt) -gt 150 && test $(id -u _bt) -lt 1000; echo $?": "0",
		"cd /var/lib/bt; stat -c %U:%G . deep deep/own own link":                                               strings.TrimSpace(strings.Repeat("_bt:_bt\n", 5)),
		"stat -c %U:%a /var/lib/bt/deep/setuid":                                                                "_bt:4755",
		"stat -c %U /var/lib/bt/deep/shared":                                                                   "root",
		"find / -xdev -uid 150 -print":                                                                         "/srv/mon\n/srv/mon/own",
	} {
		if got := inside(script); got != want {
			t.Errorf("%s: %q, want %q", script, got, want)
		}
	}
	info, err := os.Stat(w.target("/var/lib/bt/own"))
	storeMust(t, err)
	for _, name := range []string{"/var/lib/bt/deep/shared", "/srv/team"} {
		if uid, _ := aclUser(w.target(name)); uid != info.Sys().(*syscall.Stat_t).Uid {
			t.Errorf("the access control list of %s lets %d in", name, uid)
		}
	}
}
