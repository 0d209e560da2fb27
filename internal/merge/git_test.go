package merge

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// hashOf returns a commit's name that repeats one digit.
func hashOf(digit string) string { return strings.Repeat(digit, 40) }

// repo returns a repository with the entries "path=content", and the files that git
// needs; "master=1" is a branch.
func repo(dir string, entries ...string) tree {
	files := []string{"HEAD=ref: refs/heads/master\n", "objects/", "refs/", "config=1"}
	for _, e := range entries {
		if name, digit, ok := strings.Cut(e, "="); ok && !strings.Contains(name, "/") && len(digit) == 1 && !slices.Contains([]string{"config", "index", "shallow", "COMMIT_EDITMSG"}, name) {
			e = "refs/heads/" + name + "=" + hashOf(digit) + "\n"
		}
		files = append(files, e)
	}
	return grow(below(dir, files...)...)
}

// refsIn returns the references of a repository of the target, with the first digit of
// each commit.
func refsIn(t tree, dir string) string {
	var refs []string
	for name, node := range t {
		if ref, ok := strings.CutPrefix(name, dir+"/refs/"); ok && node.Kind == Regular {
			refs = append(refs, ref+"="+node.Content[:1])
		}
	}
	slices.Sort(refs)
	return strings.Join(refs, " ")
}

func keptAs(name, digit string) string {
	return fmt.Sprintf("apt-be/new/%s-%s=%s", name, strings.Repeat(digit, 12), digit)
}

func TestGit(t *testing.T) {
	const dir = "etc/.git"
	for name, c := range map[string]struct {
		base, live, next []string
		refs             string
		has              []string // path=content, or a path that must not exist
		tip              string
	}{
		"both committed": {
			base: []string{"master=1", "objects/11/1=a", "index=1", "logs/HEAD=1"},
			live: []string{"master=2", "objects/11/1=a", "objects/22/2=b", "index=2", "logs/HEAD=12"},
			next: []string{"master=3", "objects/11/1=a", "objects/33/3=c", "index=3", "logs/HEAD=13"},
			refs: keptAs("heads/master", "3") + " heads/master=2", tip: "3",
			has: []string{"objects/11/1=a", "objects/22/2=b", "objects/33/3=c", "index=2", "logs/HEAD=12"},
		},
		"the same commit": {
			base: []string{"master=1"}, live: []string{"master=2", "index=2"}, next: []string{"master=2", "index=3"},
			refs: "heads/master=2", has: []string{"index=2"},
		},
		"the environment looked": {
			base: []string{"master=1", "index=1"}, live: []string{"master=2", "index=2"}, next: []string{"master=1", "index=3"},
			refs: "heads/master=2", has: []string{"index=2"},
		},
		"the running system looked": {
			base: []string{"master=1", "index=1", "COMMIT_EDITMSG=1"}, live: []string{"master=1", "index=2", "COMMIT_EDITMSG=2", "objects/22/2=b"}, next: []string{"master=3", "index=3", "COMMIT_EDITMSG=3"},
			refs: "heads/master=3", has: []string{"index=3", "COMMIT_EDITMSG=3", "objects/22/2=b"},
		},
		"packed by either": {
			base: []string{"master=1", "objects/11/1=a"},
			live: []string{"packed-refs=# pack\n" + hashOf("2") + " refs/heads/master\n^" + hashOf("9") + "\n", "objects/pack/pack-a.pack=1", "objects/pack/pack-a.idx=1", "objects/pack/multi-pack-index=a"},
			next: []string{"packed-refs=" + hashOf("3") + " refs/heads/master\n" + hashOf("4") + " refs/tags/v\n", "objects/pack/pack-b.pack=1", "objects/pack/pack-b.idx=1", "objects/pack/multi-pack-index=b"},
			refs: keptAs("heads/master", "3") + " " + keptAs("tags/v", "4"), tip: "3",
			has: []string{"objects/pack/pack-a.pack=1", "objects/pack/pack-b.pack=1", "objects/pack/pack-b.idx=1", "objects/pack/multi-pack-index=a"},
		},
		"other bytes by one name": {
			base: []string{"master=1"},
			live: []string{"master=2", "objects/pack/pack-a.pack=1", "objects/pack/pack-a.idx=1"},
			next: []string{"master=3", "objects/pack/pack-a.pack=2", "objects/pack/pack-a.idx=2", "objects/pack/pack-a.bitmap=2"},
			refs: keptAs("heads/master", "3") + " heads/master=2", tip: "3",
			has: []string{"objects/pack/pack-a.pack=1", "objects/pack/pack-a.idx=1", "objects/pack/pack-a.bitmap"},
		},
		"pruned here, needed there": {
			base: []string{"master=1", "old=5", "objects/55/5=x"}, live: []string{"master=2"}, next: []string{"master=3", "old=6", "objects/55/5=x", "objects/66/6=y"},
			refs: keptAs("heads/master", "3") + " " + keptAs("heads/old", "6") + " heads/master=2", tip: "3", has: []string{"objects/55/5=x", "objects/66/6=y"},
		},
		"kept before": {
			base: []string{"master=2"}, live: []string{"master=4"}, next: []string{"master=3", "refs/apt-be/old/heads/master-1=" + hashOf("1")},
			refs: keptAs("heads/master", "3") + " apt-be/old/heads/master-1=1 heads/master=4", tip: "3",
		},
		"hooks, lists and settings": {
			base: []string{"master=1", "hooks/a=1", "hooks/b=1", "objects/info/alternates=/a\n", "shallow=1\n2\n"},
			live: []string{"master=2", "hooks/a=1", "hooks/b=2", "objects/info/alternates=/a\n/live\n"},
			next: []string{"master=3", "hooks/a=3", "hooks/b=3", "objects/info/alternates=/a\n/next\n", "shallow=1\n2\n", "config=3"},
			refs: keptAs("heads/master", "3") + " heads/master=2", tip: "3",
			has: []string{"hooks/a=3", "hooks/b=2", "objects/info/alternates=/a\n/next\n/live\n", "config=1", "shallow"},
		},
		"names that lead elsewhere": {
			base: []string{"master=1"}, live: []string{"master=2"},
			next: []string{"packed-refs=" + hashOf("3") + " refs/heads/../../../shadow\n" + hashOf("4") + " /etc/shadow\n" + hashOf("5") + " refs/heads/x.lock\n" + hashOf("6") + " refs/ok\n", "master=1"},
			refs: keptAs("ok", "6") + " heads/master=2",
		},
		"a submodule": {
			base: []string{"master=1", "modules/s/HEAD=ref: refs/heads/m", "modules/s/objects/", "modules/s/refs/heads/m=" + hashOf("1"), "modules/s/config=1"},
			live: []string{"master=2", "modules/s/HEAD=ref: refs/heads/m", "modules/s/objects/", "modules/s/refs/heads/m=" + hashOf("7"), "modules/s/config=1"},
			next: []string{"master=3", "modules/s/HEAD=ref: refs/heads/m", "modules/s/objects/8/8=x", "modules/s/refs/heads/m=" + hashOf("8"), "modules/s/config=1"},
			refs: keptAs("heads/master", "3") + " heads/master=2", tip: "3",
			has: []string{"modules/s/objects/8/8=x", "modules/s/refs/heads/m=" + hashOf("7"), "modules/s/refs/apt-be/new/heads/m-888888888888=" + hashOf("8") + "\n"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := repo(dir, c.next...)
			changes, result := planOf(t, repo(dir, c.base...), repo(dir, c.live...), target, "")
			change := wantOne(t, changes, dir, "git repository")
			if change.Refused || change.KeepTarget || change.Source != FromMerged || change.Conflict != "" {
				t.Errorf("%+v", change.Decision)
			}
			if got := refsIn(result, dir); got != c.refs {
				t.Errorf("the refs are\n%s, want\n%s", got, c.refs)
			}
			if want := strings.Repeat(c.tip, 40); change.Tip != want {
				t.Errorf("the environment was at %q, want %q", change.Tip, want)
			}
			for _, file := range c.has {
				name, content, there := strings.Cut(file, "=")
				if node := result[dir+"/"+name]; (node.Kind == Regular) != there || node.Content != content {
					t.Errorf("%s holds %q, want %q", name, node.Content, content)
				}
			}
		})
	}
}

// TestGitAlone has only one side with a repository, or a repository that only git can
// read.
func TestGitAlone(t *testing.T) {
	const dir = "srv/a/.git"
	none := grow("srv/", "srv/a/")
	one, two, three := repo(dir, "master=1"), repo(dir, "master=2"), repo(dir, "master=3")
	changes, result := planOf(t, none, one, none, "")
	if c := wantOne(t, changes, dir, "git repository"); c.Source != FromRunning || refsIn(result, dir) != "heads/master=1" {
		t.Errorf("a new one: %+v", c.Decision)
	}
	changes, result = planOf(t, one, none, three, "")
	if c := wantOne(t, changes, dir, "git repository"); !c.KeepTarget || refsIn(result, dir+Aside) != "heads/master=3" || refsIn(result, dir) != "" {
		t.Errorf("deleted: %+v", c.Decision)
	}
	changes, result = planOf(t, one, two, none, "")
	if c := wantOne(t, changes, dir, "git repository"); c.Refused || refsIn(result, dir) != "heads/master=2" {
		t.Errorf("deleted in the environment: %+v", c.Decision)
	}
	tables := repo(dir, "reftable/tables.list=1")
	changes, _ = planOf(t, one, two, tables, "")
	if c := wantOne(t, changes, dir, "git repository"); !c.Refused {
		t.Errorf("tables: %+v", c.Decision)
	}
	changes, _ = planOf(t, one, grow("srv/", "srv/a/", "srv/a/.git=gitdir: ../x"), three, "")
	for _, c := range changes {
		if c.Description != "git repository" || !c.Refused {
			t.Errorf("a file: %s %+v", c.Path, c.Decision)
		}
	}
}

func TestRefNames(t *testing.T) {
	for name, want := range map[string]bool{
		"refs/heads/a": true, "refs/heads/a.b": true, "HEAD": true, "refs/heads/é": true,
		"refs/../a": false, "/refs/a": false, "refs//a": false, "refs/a/": false, "refs/.a": false, "refs/a.lock": false, "refs/a\n": false, "refs/a b": false, "refs/a.": false, "": false, "refs/a@{1}": false, "refs/a.lock/b": false,
	} {
		if got := isRefName(name); got != want {
			t.Errorf("%q is %t", name, got)
		}
	}
	for name, want := range map[string]string{"2026-01-01.1": "2026-01-01.1", "a..b": "a--b", "a.lock": "a-lock", "a.": "a-", "a+b": "a+b", "": "environment"} {
		if got := refWord(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}
