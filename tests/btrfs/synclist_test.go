package btrfs_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// treatment decides about a file that one or both sides have changed.
type treatment string

const (
	overwritten treatment = "OVERWRITE"
	appended    treatment = "APPEND"
	ignored     treatment = "IGNORE"
	data        treatment = "data, no rule"
	setting     treatment = "setting, no rule"
	packaged    treatment = "a package's"
)

// places are the paths of Live Upgrade's synclist in Debian's form, and some more, with
// their treatments by apt-be's own rules and by ownRules.
var places = map[string]treatment{
	"/var/mail":                 appended,
	"/var/log/bt":               appended,
	"/var/spool/mqueue":         data,
	"/var/spool/cron/crontabs":  data,
	"/var/lib/dhcp":             data,
	"/home/al":                  data,
	"/etc/bt":                   setting,
	"/etc/bt-table":             setting, // conffiles
	"/usr/share/bt-table":       packaged,
	"/usr/share/bt-table/local": overwritten,
	"/var/cache/man":            ignored,
	"/var/tmp/bt":               overwritten,
	"/srv/bt-live":              overwritten,
	"/srv/a log":                appended,
	"/srv/bt-next":              ignored,
}

const ownRules = `# the admin's
/usr/share/bt-table/local
/srv/bt-live OVERWRITE
/srv/a\040log APPEND
/srv/bt-next IGNORE
`

// outcomes are the results for a file: drift's word, "untold" if there is none, and the
// file in the environment afterwards. A treatment that is not listed has the result of
// "".
type outcomes map[treatment]string

func (f outcomes) of(how treatment) string {
	if want, ok := f[how]; ok {
		return want
	}
	return f[""]
}

// changesOfBoth are files with the content "base" at the fork, by name.
var changesOfBoth = map[string]struct {
	running, target sideChange
	want            outcomes
}{
	"changed here":  {edit, keep, outcomes{"": "carried base+live", ignored: "skipped base"}},
	"changed there": {keep, edit, outcomes{"": "untold base+next"}},
	"changed alike": {alike, alike, outcomes{"": "untold base+alike"}},
	"changed by both": {edit, edit, outcomes{overwritten: "carried base+live", appended: "merged base+next+live",
		setting: "conflict base+live beside base+next", data: "refused", packaged: "conflict base+next besides base+live", "": "skipped base+next"}},
	"deleted here":    {drop, keep, outcomes{"": "carried gone", ignored: "skipped base"}},
	"deleted there":   {keep, drop, outcomes{"": "untold gone"}},
	"deleted by both": {drop, drop, outcomes{"": "untold gone"}},
	"deleted here, changed there": {drop, edit, outcomes{overwritten: "carried gone", appended: "merged next", packaged: "skipped base+next", ignored: "skipped base+next",
		"": "conflict gone beside base+next"}},
	"changed here, deleted there": {edit, drop, outcomes{overwritten: "carried base+live", packaged: "conflict gone besides base+live", ignored: "skipped gone",
		"": "conflict base+live"}},
	"link here":     {link, keep, outcomes{"": "carried ->live", ignored: "skipped base"}},
	"link there":    {keep, link, outcomes{"": "untold ->next"}},
	"links by both": {link, link, outcomes{overwritten: "carried ->live", setting: "conflict ->live beside ->next", data: "refused", appended: "refused", packaged: "conflict ->next besides ->live", "": "skipped ->next"}},
	"link here, changed there": {link, edit, outcomes{overwritten: "carried ->live", setting: "conflict ->live beside base+next",
		data: "refused", appended: "refused", packaged: "conflict base+next besides ->live", "": "skipped base+next"}},
	"changed here, link there": {edit, link, outcomes{overwritten: "carried base+live", setting: "conflict base+live beside ->next",
		data: "refused", appended: "refused", packaged: "conflict ->next besides base+live", "": "skipped ->next"}},
	"directory here": {directory, keep, outcomes{"": "carried directory", ignored: "skipped base"}},
	"directory here, changed there": {directory, edit, outcomes{overwritten: "carried directory", setting: "conflict directory beside base+next",
		data: "refused", appended: "refused", packaged: "refused", "": "skipped base+next"}},
	"changed here, directory there": {edit, directory, outcomes{overwritten: "carried base+live", setting: "conflict base+live",
		data: "refused", appended: "refused", packaged: "conflict directory besides base+live", "": "skipped directory"}},
	"changed here, full directory there": {edit, full, outcomes{overwritten: "carried base+live beside directory",
		setting: "conflict base+live beside directory", data: "refused", appended: "refused",
		packaged: "conflict directory besides base+live", "": "skipped directory"}},
	"mode here":                {mode, keep, outcomes{"": "carried base 0600", ignored: "skipped base"}},
	"mode here, changed there": {mode, edit, outcomes{"": "merged base+next 0600", overwritten: "carried base 0600", ignored: "skipped base+next"}},
	"changed here, mode there": {edit, mode, outcomes{"": "carried base+live 0640", overwritten: "carried base+live", ignored: "skipped base 0640"}},
	"modes by both":            {mode, mode, outcomes{"": "conflict base 0600", overwritten: "carried base 0600", ignored: "skipped base 0640"}},
	"owner here":               {owner, keep, outcomes{"": "carried base owner 1:1", ignored: "skipped base"}},
	"owner here, changed there": {owner, edit, outcomes{"": "merged base+next owner 1:1", overwritten: "carried base owner 1:1",
		ignored: "skipped base+next"}},
	"owner here, acl there": {owner, acl, outcomes{"": "merged base owner 1:1 acl 2", overwritten: "carried base owner 1:1", ignored: "skipped base acl 2"}},
	"acl here":              {acl, keep, outcomes{"": "carried base acl 1", ignored: "skipped base"}},
	"acl here, changed there": {acl, edit, outcomes{"": "merged base+next acl 1", overwritten: "carried base acl 1",
		ignored: "skipped base+next"}},
	"changed here, acl there":        {edit, acl, outcomes{"": "carried base+live acl 2", overwritten: "carried base+live", ignored: "skipped base acl 2"}},
	"acls by both":                   {acl, acl, outcomes{"": "conflict base acl 1", overwritten: "carried base acl 1", ignored: "skipped base acl 2"}},
	"two names here":                 {another, keep, outcomes{"": "untold base 2 names", ignored: "untold base"}},
	"two names of what changed here": {anotherEdited, keep, outcomes{"": "carried base+live 2 names", ignored: "skipped base"}},

	"new\nline":      {edit, keep, outcomes{"": "carried base+live", ignored: "skipped base"}},
	"-rf":            {drop, keep, outcomes{"": "carried gone", ignored: "skipped base"}},
	" *\\?[$(true)]": {edit, keep, outcomes{"": "carried base+live", ignored: "skipped base"}},
	"größer":         {acl, edit, outcomes{"": "merged base+next acl 1", overwritten: "carried base acl 1", ignored: "skipped base+next"}},
	"latin-1 \xe4":   {mode, edit, outcomes{"": "merged base+next 0600", overwritten: "carried base 0600", ignored: "skipped base+next"}},
	"\xff":           {link, keep, outcomes{"": "carried ->live", ignored: "skipped base"}},
}

// testSynclist makes every change to files in each place, in the running system and in
// an upgraded environment, carries the changes, and compares the result with the
// prediction.
func testSynclist(t *testing.T, l lab) {
	t.Run("table", func(t *testing.T) { testSynclistTable(t, l) })
	t.Run("accounts", func(t *testing.T) { testSynclistAccounts(t, l) })
}

// changedFile is a pair of changes in a place.
type changedFile struct {
	path            string
	how             treatment
	running, target sideChange
	want            outcomes
}

func changedFiles() []changedFile {
	var all []changedFile
	for dir, how := range places {
		for name, m := range changesOfBoth {
			if strings.Contains(dir, "bt-table") && strings.Contains(name, "\n") {
				continue // which no package can have
			}
			all = append(all, changedFile{filepath.Join(dir, name), how, m.running, m.target, m.want})
		}
	}
	return all
}

func testSynclistTable(t *testing.T, l lab) {
	w := newWaiting(t, l, func(m *machine.Machine) { fillPlaces(t, m) })
	all := changedFiles()
	refused := slices.DeleteFunc(slices.Clone(all), func(e changedFile) bool { return e.want.of(e.how) != "refused" })
	all = slices.DeleteFunc(all, func(e changedFile) bool { return e.want.of(e.how) == "refused" })

	before := w.meet(t, all)
	foretold := w.outcomes(t, "drift", "--files")
	if done := w.outcomes(t, "sync"); !maps.Equal(done, foretold) {
		t.Errorf("drift said\n%v\nand sync\n%v", foretold, done)
	}
	w.check(t, all, foretold, before)
	if left := w.outcomes(t, "drift", "--files"); len(left) > 0 {
		t.Errorf("to be done again are %v", left)
	}

	before = w.meet(t, refused)
	foretold = w.outcomes(t, "drift", "--files")
	for _, e := range refused {
		if foretold[asTold(e.path)] != "refused" {
			t.Errorf("%q is %q", e.path, foretold[asTold(e.path)])
		}
	}
	result := w.Run(t, machine.Command{Args: []string{"apt-be", "sync", w.environment}})
	if result.Status != 12 || !slices.ContainsFunc(refused, func(e changedFile) bool { return strings.Contains(result.Output, e.path) }) {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	// The administrator decides.
	rules := ownRules
	for i := range refused {
		e := &refused[i]
		e.how = overwritten
		if strings.HasPrefix(e.path, "/var/mail") {
			e.how = ignored
		}
		rules += strings.ReplaceAll(e.path, " ", `\040`) + " " + string(e.how) + "\n"
	}
	w.WriteFile(t, "/etc/apt-be/synclist", rules+"/srv APPEND more\n")
	if result := w.Run(t, machine.Command{Args: []string{"apt-be", "sync", w.environment}}); result.Status != 1 ||
		!strings.Contains(result.Output, fmt.Sprintf("/etc/apt-be/synclist:%d: ", strings.Count(rules, "\n")+1)) {
		t.Errorf("a line that is wrong: status %d:\n%s", result.Status, result.Output)
	}
	if changed := before.Diff(w.fingerprint(t)); len(changed) > 0 {
		t.Errorf("refused, and changed are\n%s", strings.Join(changed, "\n"))
	}
	w.WriteFile(t, "/etc/apt-be/synclist", rules)
	foretold = w.outcomes(t, "sync")
	if foretold["/etc/apt-be/synclist"] != "carried" {
		t.Errorf("the synclist itself is %q", foretold["/etc/apt-be/synclist"])
	}
	w.check(t, refused, foretold, before)
}

// fillPlaces creates the files. A package owns some of them.
func fillPlaces(t *testing.T, m *machine.Machine) {
	t.Helper()
	storeMust(t, os.MkdirAll(m.Path("/etc/apt-be"), 0o755))
	m.WriteFile(t, "/etc/apt-be/synclist", ownRules)
	for _, e := range changedFiles() {
		root := "/"
		if strings.Contains(e.path, "/bt-table/") {
			root = "/srv/bt-table"
		}
		file := m.Path(filepath.Join(root, e.path))
		storeMust(t, os.MkdirAll(filepath.Dir(file), 0o755))
		storeMust(t, os.WriteFile(file, []byte("base\n"), 0o644))
	}
	m.Shell(t, `cd /srv; mkdir bt-table/DEBIAN
printf 'Package: bt-table\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: files\n' >bt-table/DEBIAN/control
find bt-table/etc -type f -printf '/etc/bt-table/%f\n' >bt-table/DEBIAN/conffiles
dpkg-deb -b bt-table bt-table.deb; dpkg -i bt-table.deb; rm -r bt-table bt-table.deb`)
}

// meet makes the changes of both sides, and returns the environment afterwards.
func (w waiting) meet(t *testing.T, all []changedFile) machine.Fingerprint {
	t.Helper()
	for _, e := range all {
		e.running(t, w.Path(e.path), "live")
		e.target(t, w.target(e.path), "next")
	}
	return w.fingerprint(t)
}

func (w waiting) fingerprint(t *testing.T) machine.Fingerprint {
	t.Helper()
	return w.Image.Fingerprint(t, "@be/"+w.environment).Timeless()
}

// check searches the environment for the expected and for forbidden results.
func (w waiting) check(t *testing.T, all []changedFile, told map[string]string, before machine.Fingerprint) {
	t.Helper()
	after := w.fingerprint(t)
	for _, of := range []map[string]string{told, before, after} {
		delete(of, "/etc/apt-be/synclist")
	}
	for _, e := range all {
		outcome, ok := told[asTold(e.path)]
		if !ok {
			outcome = "untold"
		}
		got := outcome + " " + look(t, w.target(e.path))
		if beside := look(t, w.target(e.path+rootfs.Aside)); beside != "gone" {
			got += " beside " + beside
		}
		if running := look(t, w.target(e.path+rootfs.Beside)); running != "gone" {
			got += " besides " + running
		}
		if want := e.want.of(e.how); got != want {
			t.Errorf("%q (%s) is %s, want %s", e.path, e.how, got, want)
		}
		for _, name := range []string{e.path, e.path + rootfs.Aside, e.path + ".too", e.path + "/in", e.path + rootfs.Aside + "/in", e.path + rootfs.Beside} {
			delete(told, asTold(name))
			delete(before, name)
			delete(after, name)
		}
	}
	if len(told) > 0 {
		t.Errorf("nobody did anything to %v", told)
	}
	if changed := before.Diff(after); len(changed) > 0 {
		t.Errorf("besides, changed are\n%s", strings.Join(changed, "\n"))
	}
}
