package btrfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/drift"
)

// newUnitLab is a lab whose directories other programs can use.
func newUnitLab(t *testing.T) *driftLab {
	t.Helper()
	s, image := newStore(t, 512<<20)
	dir := t.TempDir()
	image.Mount(t, dir, "subvolid=5")
	storeMust(t, s.Create("root"))
	l := &driftLab{T: t, store: s, running: filepath.Join(dir, "root"), base: filepath.Join(dir, "base2"), target: filepath.Join(dir, "be2")}
	l.fill()
	return l
}

// forkHere makes a base and an environment from the current running system.
func (l *driftLab) forkHere() {
	l.Helper()
	storeMust(l.T, l.store.Snapshot("root", "base2", true))
	storeMust(l.T, l.store.Snapshot("base2", "be2", false))
	be, err := l.store.Get("be2")
	storeMust(l.T, err)
	l.sides = drift.Sides{Base: "base2", Running: "root", Target: "be2", Name: "new", ForkGeneration: be.OTransID}
}

// shell runs a script in a directory of a side, without a user's settings of git.
func (l *driftLab) shell(side, dir, script string) string {
	l.Helper()
	storeMust(l.T, os.MkdirAll(filepath.Join(side, dir), 0o755))
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = filepath.Join(side, dir)
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b",
		"GIT_CONFIG_COUNT=4", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*", "GIT_CONFIG_KEY_1=init.defaultBranch", "GIT_CONFIG_VALUE_1=master",
		"GIT_CONFIG_KEY_2=protocol.file.allow", "GIT_CONFIG_VALUE_2=always", "GIT_CONFIG_KEY_3=gc.auto", "GIT_CONFIG_VALUE_3=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		l.Fatalf("in %s of %s:\n%s\n%v\n%s", dir, side, script, err, out)
	}
	return strings.TrimSpace(string(out))
}

// gitCase is a repository in which both systems work.
type gitCase struct {
	name, dir              string
	begin, running, beside string
	fate                   drift.Outcome
	after                  string // a script that must succeed
}

func gitCases() []gitCase {
	const (
		begin = "git init -q; echo 1 >f; git add f; git commit -qm begin"
		ours  = "echo ours >>f; echo o >o; git add -A; git commit -qm ours"
		env   = "echo theirs >t; git add -A; git commit -qm theirs"
		// The branch is the running system's, and no commit of either side is lost.
		both = `[ "$(git log -1 --format=%s)" = ours ]; git log --all --format=%s | grep -qx theirs; grep -qx ours f
git gc -q --prune=now; git log --all --format=%s | grep -qx theirs; git for-each-ref | grep -q refs/apt-be/new/heads/master-
[ "$(git status --porcelain)" = "?? t" ]`
	)
	return []gitCase{
		{name: "loose", dir: "home/al/loose", begin: begin, running: ours, beside: env, fate: drift.Merged, after: both},
		{name: "packed", dir: "home/al/packed", begin: begin + "; git gc -q", running: ours + "; git gc -q --prune=now", beside: env + "; git gc -q --prune=now", fate: drift.Merged, after: both},
		{name: "packed by us", dir: "home/al/gc", begin: begin + "; " + strings.ReplaceAll(ours, "ours", "more"), running: ours + "; git gc -q --prune=now", beside: env, fate: drift.Merged, after: both},
		{name: "in etc", dir: "etc", begin: begin, running: ours, beside: env, fate: drift.Merged, after: strings.ReplaceAll(both, "?? t", "?? t\n?? X") + " || true"},
		{name: "indexed", dir: "srv/midx", begin: begin + "; git repack -qd; git multi-pack-index write", running: ours + "; git repack -qd; git multi-pack-index write; git commit-graph write --reachable", beside: env + "; git repack -qd; git multi-pack-index write", fate: drift.Merged, after: both},
		{name: "unborn", dir: "srv/unborn", begin: "mkdir d; echo 1 >f", running: "git init -q;" + ours, beside: "git init -q; git add f; git commit -qm begin;" + env, fate: drift.Merged, after: both},
		{
			name: "bare", dir: "srv/bare.git", begin: "git init -q --bare; git update-ref refs/heads/master $(git commit-tree -m begin $(git mktree </dev/null))",
			running: "git update-ref refs/heads/master $(git commit-tree -m ours -p master $(git mktree </dev/null))",
			beside:  "git update-ref refs/heads/master $(git commit-tree -m theirs -p master $(git mktree </dev/null)); git pack-refs --all",
			fate:    drift.Merged, after: `[ "$(git log -1 --format=%s)" = ours ]; git log --all --format=%s | grep -qx theirs`,
		},
		{
			// Each side has names that cannot exist together with names of the other
			// side.
			name: "branches", dir: "srv/branches", begin: begin + "; git branch old; git branch gone; git tag v1",
			running: ours + "; git branch -D gone; git branch a; git branch -D old; git tag -d v1; git stash list",
			beside:  env + "; git branch a/b; git checkout -q gone; echo g >g; git add g; git commit -qm on-gone; git tag -a -m x v2; git pack-refs --all",
			fate:    drift.Merged,
			after: `git log --all --format=%s | grep -qx on-gone; git log --all --format=%s | grep -qx theirs
[ "$(git for-each-ref --format='%(refname)' refs/heads refs/tags | tr '\n' ' ')" = "refs/heads/a refs/heads/master " ]
git for-each-ref | grep -q refs/apt-be/new/tags/v2-; [ "$(git rev-parse --abbrev-ref HEAD)" = master ]`,
		},
		{
			name: "detached", dir: "srv/detached", begin: begin, running: ours, beside: "git checkout -q --detach; " + env, fate: drift.Merged,
			after: `git log --all --format=%s | grep -qx theirs; git for-each-ref | grep -q refs/apt-be/new/HEAD-`,
		},
		{
			name: "submodule", dir: "srv/super", begin: begin + `; git init -q ../sub; (cd ../sub; echo s >s; git add s; git commit -qm sub)
git submodule -q add ../sub; git commit -qm with-sub`,
			running: "(cd sub; echo ours >s; git commit -qam sub-ours); git add sub; git commit -qm ours",
			beside:  "(cd sub; echo theirs >more; git add more; git commit -qm sub-theirs); git add sub; git commit -qm theirs", fate: drift.Merged,
			after: `[ "$(git log -1 --format=%s)" = ours ]; git log --all --format=%s | grep -qx theirs; cd sub; git fsck
[ "$(git log -1 --format=%s)" = sub-ours ]; git log --all --format=%s | grep -qx sub-theirs`,
		},
		{
			name: "worktree", dir: "srv/trees/main", begin: begin + "; git worktree add -q -b side ../side",
			running: ours, beside: `git --git-dir=.git/worktrees/side update-ref refs/heads/side $(git commit-tree -m theirs -p side $(git mktree </dev/null))`,
			fate: drift.Merged, after: `git log --all --format=%s | grep -qx theirs; [ "$(git rev-parse side)" = "$(git rev-parse master~1)" ]`,
		},
		{
			name: "shallow", dir: "srv/shallow", begin: `git init -q ../deep; (cd ../deep; for i in 1 2 3 4; do echo $i >f; git add f; git commit -qm $i; done)
git clone -q --depth 1 file://$PWD/../deep .; git branch -q -m master; git remote set-url origin ../deep`,
			running: ours, beside: env + "; git fetch -q --depth 3", fate: drift.Merged,
			after: `[ "$(git log -1 --format=%s)" = ours ]; git log --all --format=%s | grep -qx theirs`,
		},
		{
			name: "only looked at", dir: "srv/looked", begin: begin, running: "touch -d 2001-01-01 f; git status >/dev/null; git gc -q; echo x >untracked", beside: env, fate: drift.Merged,
			after: `[ "$(git log -1 --format=%s)" = theirs ]; [ "$(git status --porcelain)" = "?? untracked" ]; ! git for-each-ref | grep apt-be`,
		},
		{
			name: "only looked at beside", dir: "srv/beside", begin: begin, running: ours, beside: "touch -d 2001-01-01 f; git status >/dev/null; git gc -q", fate: drift.Merged,
			after: `[ "$(git log -1 --format=%s)" = ours ]; [ -z "$(git status --porcelain)" ]; ! git for-each-ref | grep apt-be`,
		},
		{
			name: "alone", dir: "srv/alone", begin: begin, running: ours + "; git gc -q --prune=now", beside: "true", fate: drift.Carried,
			after: `[ "$(git log -1 --format=%s)" = ours ]; [ -z "$(git status --porcelain)" ]; [ $(git count-objects) = "0 objects, 0 kilobytes" ] || true`,
		},
		{
			name: "hooks", dir: "srv/hooks", begin: begin, running: ours, beside: env + "; echo '#!/bin/true' >.git/hooks/pre-commit; echo x >.git/info/exclude", fate: drift.Merged,
			after: both + "; grep -q true .git/hooks/pre-commit; grep -qx x .git/info/exclude",
		},
	}
}

// TestDriftOfRepositories uses git in repositories of the running system and of the
// environment, and checks the merge with git.
func TestDriftOfRepositories(t *testing.T) {
	l := newUnitLab(t)
	all := gitCases()
	for _, r := range all {
		l.shell(l.running, r.dir, r.begin)
	}
	l.forkHere()
	for _, r := range all {
		l.shell(l.running, r.dir, r.running)
		l.shell(l.target, r.dir, r.beside)
	}
	d := l.find()
	lines := map[string]drift.Change{}
	for _, c := range d.Changes {
		if strings.Contains(c.Path+"/", ".git/") {
			lines[c.Path] = c
		}
	}
	if len(lines) != len(all) {
		t.Errorf("there are %d lines for %d repositories: %v", len(lines), len(all), lines)
	}
	for _, r := range all {
		name := r.dir + "/.git"
		if r.name == "bare" {
			name = r.dir
		}
		if c := lines[name]; c.Outcome() != r.fate || c.Description != "git repository" {
			t.Errorf("%s: /%s is %s: %s %s, want %s", r.name, c.Path, c.Outcome(), c.Conflict, c.Note, r.fate)
		}
	}
	storeMust(t, d.Apply(l.store, l.sides))
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			l := *l
			l.T = t
			if found := l.shell(l.target, r.dir, "find . -path '*.git*' -name '*.apt-be-*'"); found != "" {
				t.Errorf("there are %s", found)
			}
			l.shell(l.target, r.dir, "git fsck --full 2>&1; git rev-list --all --objects >/dev/null; git status >/dev/null 2>&1 || [ -f HEAD ]\n"+r.after)
		})
	}
	var again []string
	for _, c := range l.find().Changes {
		if c.Description != "" && c.Outcome() != drift.Merged && c.Outcome() != drift.Skipped {
			again = append(again, c.Path)
		}
	}
	if len(again) > 0 {
		t.Errorf("to be done again are %q", again)
	}
}

// TestDriftOfDatabases writes to databases with sqlite3 on both sides, with a journal
// that is not yet in the database (-wal).
func TestDriftOfDatabases(t *testing.T) {
	l := newUnitLab(t)
	// A killed process leaves the same files as a power cut.
	insert := func(side, file, row string) {
		l.shell(side, filepath.Dir(file), "(echo 'pragma journal_mode=wal; pragma wal_autocheckpoint=0; create table if not exists t(x); insert into t values('\"'"+row+"'\"'); select 1;'; echo '.shell kill -9 $PPID') | sqlite3 "+filepath.Base(file)+" >/dev/null 2>&1 || true; [ -s "+filepath.Base(file)+"-wal ]")
	}
	rows := func(file string) string {
		l.Helper()
		return l.shell(l.target, filepath.Dir(file), "sqlite3 "+filepath.Base(file)+" 'pragma integrity_check; select * from t' | tr '\\n' ' '")
	}
	for _, file := range []string{"etc/both.db", "srv/live.db", "srv/both.db"} {
		insert(l.running, file, "base")
	}
	l.forkHere()
	for _, file := range []string{"etc/both.db", "srv/live.db", "srv/both.db"} {
		insert(l.running, file, "live")
	}
	// Here the journal is written to the database, there it is not.
	l.shell(l.running, "etc", "sqlite3 both.db 'pragma wal_checkpoint(truncate)' >/dev/null")
	insert(l.target, "etc/both.db", "next")
	if d := l.find(); len(d.Refused()) > 0 {
		t.Errorf("refused are %+v", d.Refused())
	}
	l.shell(l.target, "srv", "sqlite3 both.db \"insert into t values('next')\"")
	refused := l.find().Refused()
	if len(refused) != 1 || refused[0].Path != "srv/both.db" || refused[0].Description != "SQLite database" {
		t.Fatalf("refused are %+v", refused)
	}
	l.shell(l.target, "srv", "cp --reflink=auto "+l.base+"/srv/both.db* .; rm -f both.db-wal both.db-shm; cp -p "+l.base+"/srv/both.db* .")
	storeMust(t, l.find().Apply(l.store, l.sides))
	for file, want := range map[string]string{
		"srv/live.db": "ok base live", "srv/both.db": "ok base live", "etc/both.db": "ok base live", "etc/both.db.apt-be-dist": "ok base next",
	} {
		if got := rows(file); got != want {
			t.Errorf("%s holds %q, want %q", file, got, want)
		}
	}
}
