package merge

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
)

// tree is a Tree of nodes by path. The Content of a node is the file's content.
type tree map[string]Node

func (t tree) Node(name string) (Node, error) {
	node := t[name]
	if node.Content == "unreadable" {
		return Node{}, errors.New("input/output error")
	}
	if node.Kind == Regular {
		node.Content, node.Size = "", int64(len(node.Content))
	}
	return node, nil
}

func (t tree) Names(name string) ([]string, error) {
	var names []string
	for p := range t {
		if p != "." && path.Dir(p) == name {
			names = append(names, path.Base(p))
		}
	}
	return names, nil
}

// grow returns a tree of "path=content", "path>target" and "path/".
func grow(entries ...string) tree {
	t := tree{".": {Kind: Directory}}
	for _, e := range entries {
		switch {
		case strings.HasSuffix(e, "/"):
			t[strings.TrimSuffix(e, "/")] = Node{Kind: Directory}
		case strings.Contains(e, ">"):
			name, target, _ := strings.Cut(e, ">")
			t[name] = Node{Kind: Symlink, Content: target}
		default:
			name, content, _ := strings.Cut(e, "=")
			t[name] = Node{Kind: Regular, Content: content}
		}
	}
	return t
}

// changed returns the changes since a base, as a store reports them: the changed paths,
// and the directories with added or removed names. For a directory that is missing in
// the base it returns only the directory, as after a rename.
func (t tree) changed(base tree) []string {
	found := map[string]bool{}
	for name, node := range t {
		if before, ok := base[name]; !ok || !before.Same(node) {
			found[name] = true
		}
		if _, ok := base[name]; !ok {
			found[path.Dir(name)] = true
		}
	}
	for name := range base {
		if _, ok := t[name]; !ok && t[path.Dir(name)].Kind == Directory {
			found[path.Dir(name)] = true
		}
	}
	for name := range found {
		if _, ok := base[path.Dir(name)]; !ok {
			delete(found, name)
		}
	}
	return slices.Collect(maps.Keys(found))
}

func TestPlan(t *testing.T) {
	base := grow("etc/", "etc/a=1", "etc/b=1", "etc/hosts=1", "etc/d/", "etc/d/x=1", "etc/d/y=1", "srv/", "srv/data=11", "srv/db=1", "usr/", "usr/bin=1", "log/", "log/l=1", "m/", "m/deep/", "m/deep/f=1")
	running := grow("etc/", "etc/a=2", "etc/b=1", "etc/hosts=12", "etc/d>elsewhere", "srv/", "srv/data=22", "srv/db=2", "srv/new=1", "usr/", "usr/bin=2", "log/", "log/l=12", "n/", "n/deep/", "n/deep/f=1")
	target := grow("etc/", "etc/a=1", "etc/b=2", "etc/hosts=13", "etc/d/", "etc/d/x=1", "etc/d/y=3", "srv/", "srv/data=11", "srv/db=3", "usr/", "usr/bin=3", "log/", "log/l=13", "m/", "m/deep/", "m/deep/f=1")
	rules, err := ParseRules("s", []byte("/log APPEND\n/etc/hosts MERGE\n"))
	if err != nil {
		t.Fatal(err)
	}
	var mutex sync.Mutex
	compared := map[string]bool{}
	trees := Trees{Base: base, Running: running, Target: target, Same: func(name string, a, b Tree) (bool, error) {
		mutex.Lock()
		defer mutex.Unlock()
		compared[name] = true
		return a.(tree)[name].Content == b.(tree)[name].Content, nil
	}}
	changes, _, err := Plan(trees, running.changed(base), rules, func(name string) File {
		switch {
		case strings.HasPrefix(name, "usr"):
			return Packaged
		case strings.HasPrefix(name, "etc"):
			return Setting
		}
		return Data
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s: %s", c.Path, show(c.Decision, trees.content(c.Path, running, c.Running), trees.content(c.Path, target, c.Target))))
	}
	want := []string{
		"etc/a: live 2",
		"etc/d: live a symbolic link aside",
		"etc/d/x: live nothing",
		"etc/d/y: live nothing aside",
		"etc/hosts: merged MERGE",
		"log/l: merged APPEND",
		"m: live nothing", "m/deep: live nothing", "m/deep/f: live nothing",
		"n: live a directory", "n/deep: live a directory", "n/deep/f: live 1",
		"srv/data: live 22",
		"srv/db: stays 3 refused",
		"srv/new: live 1",
		"usr/bin: stays 3 beside",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the plan is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if compared["etc/b"] {
		t.Error("what the running side did not touch was compared")
	}
}

// content moves a file's content into its node.
func (Trees) content(name string, side tree, node Node) Node {
	if node.Kind == Regular {
		node.Content = side[name].Content
	}
	return node
}

func TestPlanRefusesUncomparable(t *testing.T) {
	base, running, target := grow("a=1", "b=11"), grow("a=2", "b=22"), grow("a=unreadable", "b=33")
	trees := Trees{Base: base, Running: running, Target: target, Same: func(string, Tree, Tree) (bool, error) {
		return false, errors.New("input/output error")
	}}
	changes, _, err := Plan(trees, []string{"a", "b"}, nil, func(string) File { return Setting })
	if err != nil || len(changes) != 2 {
		t.Fatalf("%+v, %v", changes, err)
	}
	for _, c := range changes {
		if !c.Refused || !strings.Contains(c.Conflict, "input/output error") {
			t.Errorf("%s: %+v", c.Path, c.Decision)
		}
	}
	running["a"] = Node{Kind: Regular, Content: "unreadable"}
	rules, err := ParseRules("s", []byte("/b IGNORE\n"))
	if err != nil {
		t.Fatal(err)
	}
	if changes, _, err = Plan(trees, []string{"a", "b"}, rules, func(string) File { return Data }); err != nil || len(changes) != 2 {
		t.Fatalf("%+v, %v", changes, err)
	}
	if !changes[0].Refused || changes[1].Refused {
		t.Errorf("without the rule %+v, with it %+v", changes[0].Decision, changes[1].Decision)
	}
}

// TestPlanOfAnotherDirectory replaces a directory by another one with files of the same
// names. The files themselves have not changed.
func TestPlanOfAnotherDirectory(t *testing.T) {
	base := grow("app/", "app/f=old", "app/d/", "app/d/g=old", "app/same=1", "new/", "new/f=new", "new/d/", "new/d/g=new", "new/same=1")
	running := grow("app/", "app/f=new", "app/d/", "app/d/g=new", "app/same=1")
	app := running["app"]
	app.Inode = 7
	running["app"] = app
	trees := Trees{Base: base, Running: running, Target: base, Same: func(name string, a, b Tree) (bool, error) {
		return a.(tree)[name].Content == b.(tree)[name].Content, nil
	}}
	changes, _, err := Plan(trees, []string{".", "app"}, nil, func(string) File { return Data })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, c.Path)
	}
	if want := []string{"app/d/g", "app/f", "new", "new/d", "new/d/g", "new/f", "new/same"}; !slices.Equal(got, want) {
		t.Errorf("changed are %q, want %q", got, want)
	}
}

// TestPlanBelowFormerDirectory adds files in the running system below a path that is no
// longer a directory in the target.
func TestPlanBelowFormerDirectory(t *testing.T) {
	base := grow("d/", "d/old=1", "e/")
	running := grow("d/", "d/old=1", "d/new=1", "d/n/", "d/n/x=1", "e/", "e/x=1")
	target := grow("d>elsewhere", "e/")
	trees := Trees{Base: base, Running: running, Target: target}
	changes, _, err := Plan(trees, running.changed(base), nil, func(string) File { return Data })
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range changes {
		got = append(got, fmt.Sprintf("%s %t %s", c.Path, c.Refused, c.Conflict))
	}
	const why = "/d is a symbolic link in the boot environment"
	if want := []string{"d/n true " + why, "d/n/x true " + why, "d/new true " + why, "e/x false "}; !slices.Equal(got, want) {
		t.Errorf("the plan is %q, want %q", got, want)
	}
}

// TestPlanReadsNoUnchangedPaths checks that the plan reads no unchanged paths of the
// target, and that the plan is the same if all paths are read.
func TestPlanReadsNoUnchangedPaths(t *testing.T) {
	base := grow("a/", "a/one=1", "a/two=1", "b/", "b/one=1", "c/", "c/one=1")
	running := grow("a/", "a/one=2", "a/two=2", "a/new=1", "b/", "b/one=2", "c/", "c/one=2", "d/", "d/new=1")
	target := grow("a/", "a/one=1", "a/two=3", "b/", "b/one=1", "b/more=1", "c>b")
	touched := target.changed(base)
	var looked sync.Map
	trees := Trees{Base: base, Running: running, Target: spy{target, &looked},
		Same: func(name string, a, b Tree) (bool, error) {
			if s, ok := b.(spy); ok {
				b = s.tree
			}
			return a.(tree)[name].Content == b.(tree)[name].Content, nil
		},
		Modified: func(name string) bool { return slices.Contains(touched, name) },
	}
	fates := func() (fates []string) {
		changes, _, err := Plan(trees, running.changed(base), nil, func(string) File { return Setting })
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			fates = append(fates, fmt.Sprintf("%s %v %v %q", c.Path, c.Source, c.KeepTarget, c.Conflict))
		}
		return fates
	}
	got := fates()
	for _, name := range []string{"a/one", "a/new", "d/new"} {
		if _, ok := looked.Load(name); ok {
			t.Errorf("%s was looked at", name)
		}
	}
	trees.Modified = nil
	if want := fates(); !slices.Equal(got, want) {
		t.Errorf("decided was\n%q, want\n%q", got, want)
	}
}

// spy records the paths that are read.
type spy struct {
	tree
	looked *sync.Map
}

func (s spy) Node(name string) (Node, error) {
	s.looked.Store(name, true)
	return s.tree.Node(name)
}

// TestPlanOfReplacedDirectories deletes directories in the running system, or replaces
// them by links, while the target has changed files in them, or not.
func TestPlanOfReplacedDirectories(t *testing.T) {
	for _, test := range []struct {
		base, live, next []string
		want             []string
	}{
		// The target changed nothing in the directory.
		{[]string{"usr/d/", "usr/d/f=1"}, []string{"usr/d>/srv/d", "srv/d/", "srv/d/f=1"}, []string{"usr/d/", "usr/d/f=1"},
			[]string{"srv/d: live a directory", "srv/d/f: live 1", "usr/d: live a symbolic link", "usr/d/f: live nothing"}},
		// A package's file, and a file of a package's script.
		{[]string{"usr/d/", "usr/d/f=1"}, []string{"usr/d>/srv/d"}, []string{"usr/d/", "usr/d/f=2"},
			[]string{"usr/d: stays a directory refused", "usr/d/f: stays 2"}},
		{[]string{"usr/d/", "usr/d/f=1"}, []string{"usr/d>/srv/d"}, []string{"usr/d/", "usr/d/f=1", "usr/d/more=1"},
			[]string{"usr/d: stays a directory refused", "usr/d/f: live nothing"}},
		{[]string{"usr/d/", "usr/d/e/"}, []string{"usr/d=1"}, []string{"usr/d/", "usr/d/e/", "usr/d/e/more=1"},
			[]string{"usr/d: stays a directory refused", "usr/d/e: stays a directory"}},
		// Deleted: new files stay, with their directories.
		{[]string{"usr/d/", "usr/d/e/", "usr/d/f=1"}, nil, []string{"usr/d/", "usr/d/e/", "usr/d/e/more=1", "usr/d/f=1"},
			[]string{"usr/d: stays a directory", "usr/d/e: stays a directory", "usr/d/f: live nothing"}},
		{[]string{"usr/d/", "usr/d/f=1"}, nil, []string{"usr/d/", "usr/d/f=1"}, []string{"usr/d: live nothing", "usr/d/f: live nothing"}},
		// A directory of settings is kept beside.
		{[]string{"etc/d/", "etc/d/f=1"}, []string{"etc/d>/srv/d"}, []string{"etc/d/", "etc/d/f=1", "etc/d/more=1"},
			[]string{"etc/d: live a symbolic link aside", "etc/d/f: live nothing"}},
		// A link with another target.
		{[]string{"usr/l>/a"}, []string{"usr/l>/b"}, []string{"usr/l>/a"}, []string{"usr/l: live a symbolic link"}},
		{[]string{"usr/l>/a"}, []string{"usr/l>/b"}, []string{"usr/l>/c"}, []string{"usr/l: stays a symbolic link beside"}},
	} {
		all := []string{"usr/", "etc/", "srv/"}
		base, running, target := grow(append(all, test.base...)...), grow(append(all, test.live...)...), grow(append(all, test.next...)...)
		trees := Trees{Base: base, Running: running, Target: target, Same: func(name string, a, b Tree) (bool, error) {
			return a.(tree)[name].Content == b.(tree)[name].Content, nil
		}}
		changes, _, err := Plan(trees, running.changed(base), nil, func(name string) File {
			return map[string]File{"usr": Packaged, "etc": Setting, "srv": Data}[name[:3]]
		})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			got = append(got, fmt.Sprintf("%s: %s", c.Path, show(c.Decision, trees.content(c.Path, running, c.Running), trees.content(c.Path, target, c.Target))))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%q, %q and %q:\n%q, want\n%q", test.base, test.live, test.next, got, test.want)
		}
	}
}

// TestPlanOfTimes checks the planned times of files.
func TestPlanOfTimes(t *testing.T) {
	at := func(n Node, modified int64) Node {
		n.Modified = modified
		return n
	}
	a, b, dir, link := Node{Kind: Regular, Content: "a"}, Node{Kind: Regular, Content: "b"}, Node{Kind: Directory}, Node{Kind: Symlink, Content: "x"}
	for _, test := range []struct {
		name             string
		base, live, next Node
		want             int64 // 0 if no time is planned
	}{
		{"nothing", at(a, 1), at(a, 1), at(a, 1), 0},
		{"there", at(a, 1), at(a, 1), at(a, 3), 0},
		{"here", at(a, 1), at(a, 2), at(a, 1), 2},
		{"earlier", at(a, 2), at(a, 1), at(a, 2), 1},
		{"both", at(a, 1), at(a, 2), at(a, 3), 0},
		{"both, here later", at(dir, 1), at(dir, 3), at(dir, 2), 3},
		{"a link", at(link, 1), at(link, 2), at(link, 1), 2},
		{"other content", at(a, 1), at(a, 2), at(b, 3), 0},
		{"what is copied", at(a, 1), at(b, 2), at(a, 1), 0},
		{"a new directory", Node{}, at(dir, 2), Node{}, 2},
		{"gone there", at(dir, 1), at(dir, 2), Node{}, 0},
	} {
		base, running, target := tree{"f": test.base}, tree{"f": test.live}, tree{"f": test.next}
		told := int64(0)
		trees := Trees{Base: base, Running: running, Target: target,
			Same: func(name string, a, b Tree) (bool, error) {
				return a.(tree)[name].Content == b.(tree)[name].Content, nil
			},
			Time: func(_ string, modified int64) { told = modified },
		}
		if _, _, err := Plan(trees, []string{"f"}, nil, func(string) File { return Setting }); err != nil || told != test.want {
			t.Errorf("%s: %d, %v; want %d", test.name, told, err, test.want)
		}
	}
}
