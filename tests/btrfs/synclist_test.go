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

// treatment is what decides on a file that one side or both have changed.
type treatment string

const (
	overwritten treatment = "OVERWRITE"
	appended    treatment = "APPEND"
	ignored     treatment = "IGNORE"
	data        treatment = "data, no rule"
	setting     treatment = "setting, no rule"
	packaged    treatment = "a package's"
)

// places are the paths of Live Upgrade's synclist where Debian has them, and some
// more, with what they are to apt-be's own rules and to those of ownRules.
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

// fates are what becomes of a file: drift's word for it, "untold" if there is
// none, and how it is in the environment then; where the treatment is not listed,
// it is as under "".
type fates map[treatment]string

func (f fates) of(how treatment) string {
	if want, ok := f[how]; ok {
		return want
	}
	return f[""]
}

// meetings are files that are "base" when the environment is made, by their names.
var meetings = map[string]struct {
	live, next twist
	want       fates
}{
	"changed here":  {edit, keep, fates{"": "carried base+live", ignored: "left base"}},
	"changed there": {keep, edit, fates{"": "untold base+next"}},
	"changed alike": {alike, alike, fates{"": "untold base+alike"}},
	"changed by both": {edit, edit, fates{overwritten: "carried base+live", appended: "merged base+next+live",
		setting: "clashes base+live beside base+next", data: "refused", packaged: "clashes base+next besides base+live", "": "left base+next"}},
	"deleted here":    {drop, keep, fates{"": "carried gone", ignored: "left base"}},
	"deleted there":   {keep, drop, fates{"": "untold gone"}},
	"deleted by both": {drop, drop, fates{"": "untold gone"}},
	"deleted here, changed there": {drop, edit, fates{overwritten: "carried gone", appended: "merged next", packaged: "left base+next", ignored: "left base+next",
		"": "clashes gone beside base+next"}},
	"changed here, deleted there": {edit, drop, fates{overwritten: "carried base+live", packaged: "clashes gone besides base+live", ignored: "left gone",
		"": "clashes base+live"}},
	"link here":     {link, keep, fates{"": "carried ->live", ignored: "left base"}},
	"link there":    {keep, link, fates{"": "untold ->next"}},
	"links by both": {link, link, fates{overwritten: "carried ->live", setting: "clashes ->live beside ->next", data: "refused", appended: "refused", packaged: "clashes ->next besides ->live", "": "left ->next"}},
	"link here, changed there": {link, edit, fates{overwritten: "carried ->live", setting: "clashes ->live beside base+next",
		data: "refused", appended: "refused", packaged: "clashes base+next besides ->live", "": "left base+next"}},
	"changed here, link there": {edit, link, fates{overwritten: "carried base+live", setting: "clashes base+live beside ->next",
		data: "refused", appended: "refused", packaged: "clashes ->next besides base+live", "": "left ->next"}},
	"directory here": {directory, keep, fates{"": "carried directory", ignored: "left base"}},
	"directory here, changed there": {directory, edit, fates{overwritten: "carried directory", setting: "clashes directory beside base+next",
		data: "refused", appended: "refused", packaged: "refused", "": "left base+next"}},
	"changed here, directory there": {edit, directory, fates{overwritten: "carried base+live", setting: "clashes base+live",
		data: "refused", appended: "refused", packaged: "clashes directory besides base+live", "": "left directory"}},
	"changed here, full directory there": {edit, full, fates{overwritten: "carried base+live beside directory",
		setting: "clashes base+live beside directory", data: "refused", appended: "refused",
		packaged: "clashes directory besides base+live", "": "left directory"}},
	"mode here":                {mode, keep, fates{"": "carried base 0600", ignored: "left base"}},
	"mode here, changed there": {mode, edit, fates{"": "merged base+next 0600", overwritten: "carried base 0600", ignored: "left base+next"}},
	"changed here, mode there": {edit, mode, fates{"": "carried base+live 0640", overwritten: "carried base+live", ignored: "left base 0640"}},
	"modes by both":            {mode, mode, fates{"": "clashes base 0600", overwritten: "carried base 0600", ignored: "left base 0640"}},
	"owner here":               {owner, keep, fates{"": "carried base owner 1:1", ignored: "left base"}},
	"owner here, changed there": {owner, edit, fates{"": "merged base+next owner 1:1", overwritten: "carried base owner 1:1",
		ignored: "left base+next"}},
	"owner here, acl there": {owner, acl, fates{"": "merged base owner 1:1 acl 2", overwritten: "carried base owner 1:1", ignored: "left base acl 2"}},
	"acl here":              {acl, keep, fates{"": "carried base acl 1", ignored: "left base"}},
	"acl here, changed there": {acl, edit, fates{"": "merged base+next acl 1", overwritten: "carried base acl 1",
		ignored: "left base+next"}},
	"changed here, acl there":        {edit, acl, fates{"": "carried base+live acl 2", overwritten: "carried base+live", ignored: "left base acl 2"}},
	"acls by both":                   {acl, acl, fates{"": "clashes base acl 1", overwritten: "carried base acl 1", ignored: "left base acl 2"}},
	"two names here":                 {another, keep, fates{"": "untold base 2 names", ignored: "untold base"}},
	"two names of what changed here": {anotherEdited, keep, fates{"": "carried base+live 2 names", ignored: "left base"}},

	"new\nline":      {edit, keep, fates{"": "carried base+live", ignored: "left base"}},
	"-rf":            {drop, keep, fates{"": "carried gone", ignored: "left base"}},
	" *\\?[$(true)]": {edit, keep, fates{"": "carried base+live", ignored: "left base"}},
	"größer":         {acl, edit, fates{"": "merged base+next acl 1", overwritten: "carried base acl 1", ignored: "left base+next"}},
	"latin-1 \xe4":   {mode, edit, fates{"": "merged base+next 0600", overwritten: "carried base 0600", ignored: "left base+next"}},
	"\xff":           {link, keep, fates{"": "carried ->live", ignored: "left base"}},
}

// testSynclist has a running system and an upgraded environment do to files in each
// place what each can, carries it over, and finds what was foretold.
func testSynclist(t *testing.T, l lab) {
	t.Run("table", func(t *testing.T) { testSynclistTable(t, l) })
	t.Run("accounts", func(t *testing.T) { testSynclistAccounts(t, l) })
}

// encounter is a meeting in a place.
type encounter struct {
	path       string
	how        treatment
	live, next twist
	want       fates
}

func encounters() []encounter {
	var all []encounter
	for dir, how := range places {
		for name, m := range meetings {
			if strings.Contains(dir, "bt-table") && strings.Contains(name, "\n") {
				continue // which no package can have
			}
			all = append(all, encounter{filepath.Join(dir, name), how, m.live, m.next, m.want})
		}
	}
	return all
}

func testSynclistTable(t *testing.T, l lab) {
	w := newWaiting(t, l, func(m *machine.Machine) { fillPlaces(t, m) })
	all := encounters()
	refused := slices.DeleteFunc(slices.Clone(all), func(e encounter) bool { return e.want.of(e.how) != "refused" })
	all = slices.DeleteFunc(all, func(e encounter) bool { return e.want.of(e.how) == "refused" })

	before := w.meet(t, all)
	foretold := w.fates(t, "drift", "--files")
	if done := w.fates(t, "sync"); !maps.Equal(done, foretold) {
		t.Errorf("drift said\n%v\nand sync\n%v", foretold, done)
	}
	w.check(t, all, foretold, before)
	if left := w.fates(t, "drift", "--files"); len(left) > 0 {
		t.Errorf("to be done again are %v", left)
	}

	before = w.meet(t, refused)
	foretold = w.fates(t, "drift", "--files")
	for _, e := range refused {
		if foretold[asTold(e.path)] != "refused" {
			t.Errorf("%q is %q", e.path, foretold[asTold(e.path)])
		}
	}
	result := w.Run(t, machine.Command{Args: []string{"apt-be", "sync", w.environment}})
	if result.Status != 12 || !slices.ContainsFunc(refused, func(e encounter) bool { return strings.Contains(result.Output, e.path) }) {
		t.Errorf("status %d:\n%s", result.Status, result.Output)
	}
	// The admin decides.
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
	foretold = w.fates(t, "sync")
	if foretold["/etc/apt-be/synclist"] != "carried" {
		t.Errorf("the synclist itself is %q", foretold["/etc/apt-be/synclist"])
	}
	w.check(t, refused, foretold, before)
}

// fillPlaces makes the files, some of them a package's.
func fillPlaces(t *testing.T, m *machine.Machine) {
	t.Helper()
	storeMust(t, os.MkdirAll(m.Path("/etc/apt-be"), 0o755))
	m.WriteFile(t, "/etc/apt-be/synclist", ownRules)
	for _, e := range encounters() {
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

// meet has both sides do what they do, and returns what the environment is then.
func (w waiting) meet(t *testing.T, all []encounter) machine.Fingerprint {
	t.Helper()
	for _, e := range all {
		e.live(t, w.Path(e.path), "live")
		e.next(t, w.next(e.path), "next")
	}
	return w.fingerprint(t)
}

func (w waiting) fingerprint(t *testing.T) machine.Fingerprint {
	t.Helper()
	return w.Image.Fingerprint(t, "@be/"+w.environment).Timeless()
}

// check looks for what was done in the environment, and for what should not have
// been.
func (w waiting) check(t *testing.T, all []encounter, told map[string]string, before machine.Fingerprint) {
	t.Helper()
	after := w.fingerprint(t)
	for _, of := range []map[string]string{told, before, after} {
		delete(of, "/etc/apt-be/synclist")
	}
	for _, e := range all {
		fate, ok := told[asTold(e.path)]
		if !ok {
			fate = "untold"
		}
		got := fate + " " + look(t, w.next(e.path))
		if beside := look(t, w.next(e.path+rootfs.Aside)); beside != "gone" {
			got += " beside " + beside
		}
		if running := look(t, w.next(e.path+rootfs.Beside)); running != "gone" {
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
