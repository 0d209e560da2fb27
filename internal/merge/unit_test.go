package merge

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// deepTrees compares three trees with their full contents, as on a real system.
func deepTrees(base, running, target tree) Trees {
	return Trees{
		Base: base, Running: running, Target: target, Name: "new",
		Same: func(name string, a, b Tree) (bool, error) {
			return a.(tree)[name].Content == b.(tree)[name].Content, nil
		},
		Read: func(name string, t Tree, most int64) ([]byte, error) {
			content := t.(tree)[name].Content
			return []byte(content[:min(len(content), int(most))]), nil
		},
	}
}

// etcIsSettings returns the class of a path.
func etcIsSettings(name string) File {
	switch {
	case strings.HasPrefix(name, "etc/"):
		return Setting
	case strings.HasPrefix(name, "usr/"):
		return Packaged
	case strings.HasPrefix(name, "var/cache/"):
		return Derived
	}
	return Data
}

// below returns entries below a directory, and the directories above them.
func below(dir string, entries ...string) []string {
	var all []string
	for up := dir; up != "."; up = path.Dir(up) {
		all = append(all, up+"/")
	}
	for _, e := range entries {
		all = append(all, dir+"/"+e)
		name, _, _ := strings.Cut(e, "=")
		for up := path.Dir(strings.TrimSuffix(name, "/")); up != "."; up = path.Dir(up) {
			all = append(all, path.Join(dir, up)+"/")
		}
	}
	return all
}

// planOf returns the plan, and the target's tree afterwards.
func planOf(t *testing.T, base, running, target tree, synclist string) ([]Change, tree) {
	t.Helper()
	rules, err := ParseRules("s", []byte(synclist))
	if err != nil {
		t.Fatal(err)
	}
	changes, _, err := Plan(deepTrees(base, running, target), running.changed(base), rules, etcIsSettings)
	if err != nil {
		t.Fatal(err)
	}
	// The plan is the same if only changed paths are read.
	trees, touched := deepTrees(base, running, target), target.changed(base)
	trees.Modified = func(name string) bool { return slices.Contains(touched, name) }
	quick, _, err := Plan(trees, running.changed(base), rules, etcIsSettings)
	if err != nil {
		t.Fatal(err)
	}
	told := func(changes []Change) (told []string) {
		for _, c := range changes {
			told = append(told, fmt.Sprintf("%s %s %v %t %t %s %s %d", c.Path, c.Description, c.Source, c.KeepTarget, c.Refused, c.Conflict, c.Note, len(c.Parts)))
		}
		return told
	}
	if a, b := told(changes), told(quick); !slices.Equal(a, b) {
		t.Errorf("decided was\n%q, and with what was touched\n%q", a, b)
	}
	result := maps.Clone(target)
	for _, c := range changes {
		if c.Refused {
			continue
		}
		for _, m := range c.Before {
			result.move(m)
		}
		parts := c.Parts
		if c.Description == "" {
			parts = []Change{c}
		}
		for _, part := range parts {
			switch {
			case part.Source == FromRunning && part.Running.Kind == Missing:
				delete(result, part.Path)
			case part.Source == FromRunning && part.Running.Kind == Directory:
				result[part.Path] = part.Running
			case part.Source == FromRunning:
				result[part.Path] = running[part.Path]
			case part.Source == FromMerged:
				result[part.Path] = Node{Kind: Regular, Content: string(part.Ready())}
			}
		}
		for _, m := range c.After {
			result.move(m)
		}
	}
	return changes, result
}

func (t tree) move(m Move) {
	for name, node := range maps.Clone(t) {
		if name == m.From || strings.HasPrefix(name, m.From+"/") {
			delete(t, name)
			t[m.To+strings.TrimPrefix(name, m.From)] = node
		}
	}
}

// wantFiles checks the files below a directory, or beside a file, as "path=content".
func (t tree) wantFiles(test *testing.T, prefix string, want ...string) {
	test.Helper()
	var got []string
	for name, node := range t {
		if strings.HasPrefix(name, prefix) && node.Kind == Regular {
			got = append(got, name+"="+node.Content)
		}
	}
	slices.Sort(got)
	for i := range want {
		want[i] = prefix + want[i]
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		test.Errorf("there is\n%q, want\n%q", got, want)
	}
}

// wantOne checks that the plan has one change, of a unit.
func wantOne(t *testing.T, changes []Change, name, what string) Change {
	t.Helper()
	if len(changes) != 1 || changes[0].Path != name || changes[0].Description != what {
		var got []string
		for _, c := range changes {
			got = append(got, c.Path+" ("+c.Description+")")
		}
		t.Fatalf("the changes are %q, want %s (%s)", got, name, what)
	}
	return changes[0]
}

// TestUnits changes different files of a unit on both sides. The result depends on the
// unit's place and on the rules.
func TestUnits(t *testing.T) {
	const sqlite, lmdb = "SQLite format 3\x00", "0123456789abcdef\xde\xc0\xef\xbe"
	berkeley := "0123456789ab\x62\x31\x05\x00"
	for what, c := range map[string]struct {
		name, other string   // the files in the directory that the running system and the target change
		called      string   // the unit's name in the directory
		head        string   // the beginning of name
		more        []string // further files
	}{
		"SQLite database":                  {name: "a.db", other: "a.db-wal", called: "a.db", head: sqlite},
		"LMDB database":                    {name: "data.mdb", other: "lock.mdb", called: "data.mdb"},
		"Berkeley DB environment":          {name: "a.db", other: "log.0000000001", head: berkeley, more: []string{"__db.001=x"}},
		"Mercurial repository":             {name: ".hg/dirstate", other: ".hg/store/00changelog.i", called: ".hg", more: []string{".hg/requires=1"}},
		"Bazaar repository":                {name: ".bzr/a", other: ".bzr/b", called: ".bzr", more: []string{".bzr/branch-format=1"}},
		"darcs repository":                 {name: "_darcs/a", other: "_darcs/b", called: "_darcs", more: []string{"_darcs/format=1"}},
		"Subversion working copy":          {name: ".svn/wc.db", other: ".svn/pristine/a", called: ".svn"},
		"Jujutsu repository":               {name: ".jj/repo/a", other: ".jj/repo/b", called: ".jj"},
		"Subversion repository":            {name: "db/a", other: "db/b", more: []string{"format=1", "hooks/", "locks/"}},
		"LevelDB database":                 {name: "CURRENT", other: "000003.ldb", more: []string{"MANIFEST-000002=1"}},
		"Xapian database":                  {name: "iamglass", other: "postlist.glass"},
		"WiredTiger database":              {name: "WiredTiger.wt", other: "a.wt", more: []string{"WiredTiger=1"}},
		"PostgreSQL cluster":               {name: "base/1/2", other: "pg_wal/1", more: []string{"PG_VERSION=17", "global/"}},
		"set of Redis's append-only files": {name: "appendonly.aof.manifest", other: "appendonly.aof.1.incr.aof"},
		"MariaDB or MySQL database":        {name: "ibdata1", other: "db/t.ibd"},
	} {
		t.Run(what, func(t *testing.T) {
			for where, want := range map[string]string{"srv/d": "refused", "etc/d": "aside", "var/cache/d": "next", "usr/d": "next", "srv/live": "live", "srv/ignored": "next"} {
				side := func(name, other string) tree {
					files := append([]string{"keep=1", c.name + "=" + c.head + name, c.other + "=" + other}, c.more...)
					return grow(below(where, files...)...)
				}
				lesser := what == "LMDB database" // the other file is only a lock
				base, running, target := side("1", "1"), side("2", "1"), side("1", "3")
				if lesser {
					target = side("3", "3")
				}
				changes, result := planOf(t, base, running, target, "/srv/live OVERWRITE\n/srv/ignored IGNORE\n/srv APPEND\n/srv/live OVERWRITE\n/srv/ignored IGNORE\n")
				change := wantOne(t, changes, path.Join(where, c.called), what)
				switch want {
				case "refused":
					if !change.Refused || change.Conflict != "both changed this "+what {
						t.Errorf("%s: %+v", where, change.Decision)
					}
				case "next":
					if change.Source != FromTarget || !maps.EqualFunc(result, target, Node.Same) {
						t.Errorf("%s: %+v", where, change.Decision)
					}
				case "live":
					if change.Source != FromRunning || !maps.EqualFunc(result, running, Node.Same) {
						t.Errorf("%s: %+v", where, change.Decision)
					}
				case "aside":
					for name, node := range running {
						if !result[name].Same(node) {
							t.Errorf("%s is not the running system's", name)
						}
					}
					if change.Note == "" || change.Conflict == "" || len(change.Before) == 0 {
						t.Errorf("%+v", change)
					}
					for name := range result {
						if running[name].Kind != Missing {
							continue
						}
						if !strings.Contains(name, kept) {
							t.Errorf("there is %s", name)
						}
					}
				}
				// If only one side changed, the plan is empty.
				changes, result = planOf(t, base, running, base, "")
				if change := wantOne(t, changes, path.Join(where, c.called), what); change.Source != FromRunning || change.Conflict != "" || !maps.EqualFunc(result, running, Node.Same) {
					t.Errorf("%s, which only the running system changed: %+v", where, change.Decision)
				}
				if changes, _ := planOf(t, base, base, target, ""); len(changes) > 0 {
					t.Errorf("%s, which only the environment changed: %+v", where, changes)
				}
			}
		})
	}
}

// TestUnitWithNotes has a file of a package beside a database.
func TestUnitWithNotes(t *testing.T) {
	side := func(n, flag string) tree {
		return grow("srv/", "srv/m/", "srv/m/ibdata1="+n, "srv/m/d/", "srv/m/d/t.ibd=1", "srv/m/debian-"+flag+".flag=")
	}
	changes, result := planOf(t, side("1", "10"), side("2", "10"), side("1", "11"), "")
	if c := wantOne(t, changes, "srv/m", "MariaDB or MySQL database"); c.Source != FromRunning {
		t.Errorf("%+v", c.Decision)
	}
	result.wantFiles(t, "srv/m/", "ibdata1=2", "d/t.ibd=1", "debian-11.flag=")
}

// TestUnitAside checks that a database kept beside has a name by which programs can
// open it, and replaces no earlier one.
func TestUnitAside(t *testing.T) {
	const head = "SQLite format 3\x00"
	base := grow("etc/", "etc/a.db="+head+"1", "etc/a.db-wal=1", "etc/a.db.apt-be-dist=older")
	running := grow("etc/", "etc/a.db="+head+"2", "etc/a.db.apt-be-dist=older")
	target := grow("etc/", "etc/a.db="+head+"1", "etc/a.db-wal=3", "etc/a.db.apt-be-dist=older")
	changes, result := planOf(t, base, running, target, "")
	if c := wantOne(t, changes, "etc/a.db", "SQLite database"); c.Note != "the boot environment's version is kept as /etc/a.db.apt-be-dist.2" {
		t.Errorf("%q", c.Note)
	}
	result.wantFiles(t, "etc/", "a.db="+head+"2", "a.db.apt-be-dist=older", "a.db.apt-be-dist.2="+head+"1", "a.db.apt-be-dist.2-wal=3")
}

// In TestUnitOpenedForReading, one side only opens a database for reading.
func TestUnitOpenedForReading(t *testing.T) {
	const head = "SQLite format 3\x00"
	base := grow("srv/", "srv/a.db="+head+"1", "srv/a.db-wal=1", "srv/a.db-shm=1")
	looked := grow("srv/", "srv/a.db="+head+"1", "srv/a.db-wal=1", "srv/a.db-shm=2")
	wrote := grow("srv/", "srv/a.db="+head+"3", "srv/a.db-wal=3", "srv/a.db-shm=3")
	if changes, _ := planOf(t, base, looked, wrote, ""); len(changes) > 0 {
		t.Errorf("%+v", changes)
	}
	changes, result := planOf(t, base, wrote, looked, "")
	if c := wantOne(t, changes, "srv/a.db", "SQLite database"); c.Refused || !maps.EqualFunc(result, wrote, Node.Same) {
		t.Errorf("%+v", c.Decision)
	}
}

// TestUnitGoneOrMoved deletes a database on either side, or replaces a directory above
// it in the target.
func TestUnitGoneOrMoved(t *testing.T) {
	const head = "SQLite format 3\x00"
	base := grow("srv/", "srv/d/", "srv/d/a.db="+head+"1", "srv/d/a.db-wal=1")
	gone := grow("srv/", "srv/d/")
	wrote := grow("srv/", "srv/d/", "srv/d/a.db="+head+"3", "srv/d/a.db-wal=1")
	changes, result := planOf(t, base, gone, wrote, "")
	if c := wantOne(t, changes, "srv/d/a.db", "SQLite database"); !c.KeepTarget || c.Refused {
		t.Errorf("%+v", c.Decision)
	}
	result.wantFiles(t, "srv/d/", "a.db.apt-be-dist="+head+"3", "a.db.apt-be-dist-wal=1")
	changes, result = planOf(t, base, wrote, gone, "")
	if c := wantOne(t, changes, "srv/d/a.db", "SQLite database"); c.Refused || !strings.Contains(c.Conflict, "deleted in the boot environment") {
		t.Errorf("%+v", c.Decision)
	}
	result.wantFiles(t, "srv/d/", "a.db="+head+"3", "a.db-wal=1")
	if changes, _ = planOf(t, base, gone, base, ""); len(changes) != 1 || changes[0].Conflict != "" {
		t.Errorf("deleted: %+v", changes)
	}
	changes, _ = planOf(t, base, wrote, grow("srv/", "srv/d>elsewhere"), "")
	if c := wantOne(t, changes, "srv/d/a.db", "SQLite database"); !c.Refused || c.Conflict != "/srv/d is a symbolic link in the boot environment" {
		t.Errorf("%+v", c.Decision)
	}
}

// TestNoUnits has files with names like those of databases and repositories, and
// maildirs.
func TestNoUnits(t *testing.T) {
	entries := func(n string) []string {
		return []string{
			"HEAD=" + n, "objects/", "refs/", "srv/", "srv/a=" + n, "srv/a-wal=" + n, "srv/a-shm=1", "srv/b=" + n, "srv/b-lock=" + n,
			"srv/HEAD=" + n, "srv/Maildir/", "srv/Maildir/cur/", "srv/Maildir/new/", "srv/Maildir/new/" + n + "=1", "srv/Maildir/tmp/",
			"etc/", "etc/HEAD=" + n, "etc/objects/", "etc/refs/", "etc/CURRENT=" + n, "etc/MANIFEST-01=1",
		}
	}
	changes, _ := planOf(t, grow(entries("1")...), grow(entries("2")...), grow(entries("3")...), "")
	for _, c := range changes {
		if c.Description != "" {
			t.Errorf("%s is a %s", c.Path, c.Description)
		}
	}
	if len(changes) == 0 {
		t.Error("there are no changes")
	}
}

// TestLogRuleSkipsDatabase checks that a rule for a log is not applied to a database.
func TestLogRuleSkipsDatabase(t *testing.T) {
	const head = "SQLite format 3\x00"
	side := func(n string) tree { return grow("log/", "log/a="+head+n, "log/b="+n) }
	changes, _ := planOf(t, side("1"), side("12"), side("13"), "/log APPEND\n")
	if len(changes) != 2 || !changes[0].Refused || changes[1].Action != Append {
		t.Errorf("%+v", changes)
	}
}
