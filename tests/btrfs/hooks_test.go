package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// hooked is a machine with packages that have hooks in apt and dpkg.
const hooked = "@hooked"

// kit is a set of packages with hooks, and their test.
type kit struct {
	packages  string
	configure string
	queries   []string // scripts that print the effect of the hooks on an upgrade
	// daily changes the running system before the reboot. after prints "true" in a
	// correct environment.
	daily, after string
	rounds       int // the number of repetitions; 0 is once
}

func kits() []kit {
	return []kit{
		{
			packages:  "etckeeper git",
			configure: "git config --global user.email root@localhost; git config --global user.name root; cd /etc; git gc -q; git pack-refs --all",
			queries:   []string{"cd /etc; git log --format=%s; git rev-parse HEAD:; git status --porcelain; git fsck 2>&1"},
			daily: `echo welcome >>/etc/motd; etckeeper commit 'a word of welcome' >/dev/null; echo more >>/etc/motd
drift=$(apt-be drift --files); echo "$drift" | grep '^merged.*/etc/[.]git .*git repository'; ! echo "$drift" | grep -E '^(conflict|refused)|/etc/[.]git/'`,
			after: `cd /etc; git fsck 2>&1; [ -z "$(find . -name '*apt-be-dist*')" ]; [ -z "$(git status --porcelain)" ]; [ -z "$(git for-each-ref refs/apt-be)" ]
git log --format=%s | grep 'a word of welcome'; git log --format=%s | grep 'committing changes in /etc'
[ "$(git log -1 --format=%P | wc -w)" = 2 ]; git log -1 --format=%B | grep '^apt-be: merge .* into the upgrade'; git log -1 --format=%B | grep '^[a-z]* /etc/motd$'
grep -q 'version = 2.0' bt-conf.conf; grep more motd; git show HEAD:motd | grep more`,
			rounds: 2, // the second one on the result of the first one
		},
		{
			packages: "etckeeper mercurial",
			configure: `printf '[ui]\nusername = root\n' >/root/.hgrc; sed -i 's/^VCS=.*/VCS="hg"/; s/^#VCS="hg"/VCS="hg"/' /etc/etckeeper/etckeeper.conf
cd /etc; [ -d .hg ] || etckeeper init; etckeeper commit begin || true; echo odd >odd`, // which is committed before an upgrade: hg sees no change of what has the same size and time
			daily: `echo welcome >>/etc/motd; etckeeper commit 'a word of welcome' >/dev/null; echo more >>/etc/motd
drift=$(apt-be drift --files); [ "$(echo "$drift" | grep -c '/etc/[.]hg')" = 1 ]`,
			after: `cd /etc; hg log; hg verify; [ -z "$(find . -name '*apt-be-dist*')" ]; [ -z "$(hg status)" ]; hg log -T '{desc|firstline}\n' | grep 'a word of welcome'
hg log -r 'ancestors(.)' -T '{desc|firstline}\n' | grep 'saving uncommitted changes in /etc'; [ -n "$(hg log -r 'p2(.)' -T '{node}')" ]; grep -q 'version = 2.0' bt-conf.conf; hg cat -r . motd | grep more`,
			rounds: 2,
		},
		{
			// molly-guard diverts commands, like apt-be.
			packages:  "debsums apt-show-versions needrestart molly-guard",
			configure: "apt-show-versions -i",
			queries:   []string{"apt-show-versions | sort", "debsums -s 2>&1", "dpkg-divert --list"},
			daily:     "apt-show-versions -i; debsums -s || true",
			after:     "apt-show-versions bt-app | grep -w 2.0; debsums -s bt-app",
		},
		{
			packages: "rkhunter",
			// Its configuration names scripts that a small root lacks.
			configure: `sed -i '/^APT_AUTOGEN=/d' /etc/default/rkhunter; echo 'APT_AUTOGEN="yes"' >>/etc/default/rkhunter
for script in $(sed -n 's/^SCRIPTWHITELIST=//p' /etc/rkhunter.conf); do
	[ -e "$script" ] || sed -i "\|^SCRIPTWHITELIST=$script\$|d" /etc/rkhunter.conf
done
rkhunter --propupd --nolog`,
			queries: []string{"sed -n 's/^File:[^:]*:\\([^:]*\\):.*/\\1/p' /var/lib/rkhunter/db/rkhunter.dat"},
			daily:   "rkhunter --propupd --nolog",
			// It knows the current files, and no stand-ins.
			after: `grep -q "^File:.*/usr/bin/dpkg:$(sha256sum /usr/bin/dpkg | cut -d ' ' -f 1):" /var/lib/rkhunter/db/rkhunter.dat
! grep /run/apt-be /var/lib/rkhunter/db/*`,
		},
		{
			packages:  "apt-listchanges",
			configure: "sed -i 's/^frontend=.*/frontend=text/' /etc/apt/listchanges.conf",
		},
	}
}

// testHooks upgrades machines with other packages' hooks. The hooks have the same
// effect inside as outside, and tolerate later changes of the running system.
func testHooks(t *testing.T, l lab) {
	if !*nightly {
		return // its packages must be downloaded
	}
	t.Run("etckeeper that does not commit", func(t *testing.T) { testEtckeeperClean(t, l) })
	t.Run("apt-listbugs", func(t *testing.T) { testListbugs(t, l) })
	for _, k := range kits() {
		t.Run(k.packages, func(t *testing.T) {
			l.prepare(t, hooked, "apt-get -qy --no-install-recommends install "+k.packages)
			m := l.Boot(t, hooked)
			offer(t, m, packages.Good)
			m.Shell(t, k.configure)
			m.Stop(t)
			if k.daily != "" {
				k.live(t, l)
			}
			compare(t, l, l.Start(t, hooked, "@native"), l.Start(t, hooked, running), k.queries...)
		})
	}
}

// prepare makes a template with apt-be and the packages that a script installs from
// Debian's archive. Each release has its own download cache, because the releases run
// in parallel and apt locks the cache.
func (l lab) prepare(t *testing.T, template, script string) {
	t.Helper()
	image := *l.Image
	image.Archives = filepath.Join(l.Project(), ".cache/archives-"+l.Recipe)
	if err := os.MkdirAll(image.Archives, 0o755); err != nil {
		t.Fatal(err)
	}
	m := image.Start(t, with, template)
	m.WriteFile(t, "/etc/apt/sources.list", l.sources(t, strings.ToUpper(l.Recipe)))
	m.Shell(t, "export APT_BE_BYPASS=1 DEBIAN_FRONTEND=noninteractive; apt-get -q update; "+script)
	m.Stop(t)
}

// live upgrades, changes the running system, and checks both.
func (k kit) live(t *testing.T, l lab) {
	m := l.Start(t, hooked, running)
	defer func() {
		m.Stop(t)
		l.Clear(t, plain, with, hooked)
	}()
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	result := m.Run(t, frontends()[0].quiet())
	if result.Status != 0 {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	checkUpgraded(t, l, m, "")
	found := environments(t, m)
	if len(found) != 1 {
		return
	}
	for range max(k.rounds, 1) {
		m.Shell(t, k.daily)
		if result := m.Run(t, machine.Command{Args: []string{"apt-be", "sync", found[0].Name}}); result.Status != 0 || strings.Contains(result.Output, "could not") {
			t.Errorf("sync: status %d:\n%s", result.Status, result.Output)
		}
		after := machine.Command{Args: []string{"apt-be", "run", found[0].Name, "--", "sh", "-exc", k.after}}
		if result := m.Run(t, after); result.Status != 0 {
			t.Errorf("what both have done, in the environment: status %d:\n%s", result.Status, result.Output)
		}
	}
}

// testListbugs uses apt-listbugs, which stops an upgrade if it cannot query bugs, and
// asks no user if there is no network.
func testListbugs(t *testing.T, l lab) {
	l.prepare(t, hooked, "apt-get -qy --no-install-recommends install apt-listbugs")
	defer l.Clear(t, plain, with)
	upgrade := machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}, Env: []string{"http_proxy=http://127.0.0.1:9"}}
	bypassing := upgrade
	bypassing.Env = append([]string{"APT_BE_BYPASS=1"}, upgrade.Env...)
	native, m := l.Start(t, hooked, "@native"), l.Start(t, hooked, running)
	defer native.Stop(t)
	defer m.Stop(t)
	offer(t, native, packages.Good)
	offer(t, m, packages.Good)
	before, mounts := m.Fingerprint(t), m.Mounts(t)
	want, result := native.Run(t, bypassing), m.Run(t, upgrade)
	t.Logf("without apt-be: status %d; with it: status %d, and\n%s", want.Status, result.Status, result.Output)
	if result.Status != want.Status || want.Status == 0 || !strings.Contains(result.Output, "apt-listbugs") {
		t.Errorf("status %d, without apt-be %d, which should not be 0:\n%s", result.Status, want.Status, want.Output)
	}
	checkUntouched(t, m, before, mounts, frontends()[0])
	if found := environments(t, m); len(found) > 0 {
		t.Errorf("boot environments %v, want none", found)
	}
}

// testEtckeeperClean uses etckeeper, which stops an upgrade if /etc has uncommitted
// changes: those of an administrator stop it, those of apt-be do not.
func testEtckeeperClean(t *testing.T, l lab) {
	l.prepare(t, hooked, "apt-get -qy --no-install-recommends install etckeeper git")
	defer l.Clear(t, plain, with)
	m := l.Boot(t, hooked)
	defer m.Stop(t)
	offer(t, m, packages.Good)
	m.Shell(t, `git config --global user.email root@localhost; git config --global user.name root
echo "`+l.Device()+` / btrfs subvol=`+hooked+` 0 0" >/etc/fstab
echo AVOID_COMMIT_BEFORE_INSTALL=1 >>/etc/etckeeper/etckeeper.conf
echo 'Unattended-Upgrade::Automatic-Reboot "true";' >/etc/apt/apt.conf.d/60reboot
etckeeper commit prepared >/dev/null
echo forgotten >/etc/forgotten`)
	upgrade := machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}, Env: []string{"DEBIAN_FRONTEND=noninteractive"}}
	if result := m.Run(t, upgrade); result.Status != 100 || len(environments(t, m)) > 0 {
		t.Errorf("status %d, environments %v:\n%s", result.Status, environments(t, m), result.Output)
	}
	m.Shell(t, "rm /etc/forgotten")
	if result := m.Run(t, upgrade); result.Status != 0 {
		t.Fatalf("status %d:\n%s", result.Status, result.Output)
	}
	found := environments(t, m)
	if len(found) != 1 {
		t.Fatalf("environments %v", found)
	}
	got := m.Shell(t, "apt-be run -r "+found[0].Name+" -- sh -ec 'cd /etc; git status --porcelain -- fstab apt; git log --format=%s -n 2'")
	if want := "committing changes in /etc made by \"apt-get -y dist-upgrade\"\napt-be: the root of this system is @be/" + found[0].Name + "\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
