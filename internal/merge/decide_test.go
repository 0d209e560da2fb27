package merge

import "testing"

func file(content string, mode uint32) Node {
	return Node{Kind: Regular, Content: content, Attributes: Attributes{Mode: mode, Owner: "root", Group: "root"}}
}

func TestDecide(t *testing.T) {
	var none Node
	a, b, c := file("a", 0o644), file("b", 0o644), file("c", 0o644)
	link := Node{Kind: Symlink, Content: "/x", Attributes: Attributes{Owner: "root", Group: "root"}}
	dir := Node{Kind: Directory, Attributes: Attributes{Mode: 0o755, Owner: "root", Group: "root"}}
	private := file("a", 0o600)
	acl := a
	acl.Xattrs = map[string]string{"system.posix_acl_access": "x"}
	aclC := c
	aclC.Xattrs = acl.Xattrs
	for _, test := range []struct {
		name             string
		base, live, next Node
		file             File
		action           Action
		want             string // content, mode in octal unless it is 644, and the rest of the decision
	}{
		{"nobody", a, a, a, Data, "", "stays a"},
		{"only next", a, a, b, Data, "", "stays b"},
		{"both alike", a, b, b, Data, "", "stays b"},
		{"only live", a, b, a, Data, "", "live b"},
		{"live added", none, b, none, Data, "", "live b"},
		{"live deleted", a, none, a, Data, "", "live nothing"},
		{"live replaced by a link", a, link, a, Setting, "", "live a symbolic link"},
		{"next deleted", a, a, none, Data, "", "stays nothing"},

		{"data of both", a, b, c, Data, "", "stays c refused"},
		{"data that both added", none, b, c, Data, "", "stays c refused"},
		{"data deleted and changed", a, none, c, Data, "", "live nothing aside"},
		{"a setting of both", a, b, c, Setting, "", "live b aside"},
		{"a cache of both", a, b, c, Derived, "", "stays c"},
		{"a cache of the live side", a, b, a, Derived, "", "live b"},
		{"a conffile of both", a, b, c, Conffile, "", "live b aside"},
		{"a conffile deleted and changed", a, none, c, Conffile, "", "live nothing aside"},
		{"a conffile changed and dropped", a, b, none, Conffile, "", "live b"},
		{"a file and a link", a, link, b, Setting, "", "live a symbolic link aside"},
		{"a file and a directory", a, b, dir, Setting, "", "live b"},

		{"a package's file, changed", a, b, a, Packaged, "", "live b"},
		{"a package's file, changed by both", a, b, c, Packaged, "", "stays c beside"},
		{"a package's file, changed by both, OVERWRITE", a, b, c, Packaged, Overwrite, "stays c beside"},
		{"a package's file, added by both", none, b, c, Packaged, "", "stays c beside"},
		{"a package's file, a link", a, link, c, Packaged, "", "stays c beside"},
		{"a package's file, a directory", a, dir, c, Packaged, "", "stays c refused"},
		{"a package's file, changed and dropped", a, b, none, Packaged, "", "stays nothing beside"},
		{"a package's file, deleted", a, none, a, Packaged, "", "live nothing"},
		{"a package's file, deleted and changed", a, none, c, Packaged, "", "stays c"},
		{"a package's file, its mode", a, private, c, Packaged, "", "stays c 600"},
		{"a package's file, its mode and content", a, c, private, Packaged, "", "live c 600"},
		{"a package's log", a, b, c, Packaged, Append, "merged APPEND"},
		{"a package's directory, a link", dir, link, dir, Packaged, "", "live a symbolic link"},

		{"UPGRADE, changed", a, b, a, Data, Upgrade, "live b"},
		{"UPGRADE, added", none, b, none, Data, Upgrade, "live b"},
		{"UPGRADE, changed by both", a, b, c, Data, Upgrade, "stays c"},
		{"UPGRADE, changed and dropped", a, b, none, Data, Upgrade, "stays nothing"},
		{"UPGRADE of a package's file", a, b, c, Packaged, Upgrade, "stays c beside"},

		{"mode and content", a, private, c, Setting, "", "stays c 600"},
		{"content and mode", a, c, private, Setting, "", "live c 600"},
		{"an ACL and content", a, acl, c, Setting, "", "stays c acl"},
		{"content and an ACL", a, c, acl, Setting, "", "live c acl"},
		{"an ACL on both", a, acl, aclC, Setting, "", "stays c acl"},

		{"OVERWRITE", a, b, c, Data, Overwrite, "live b"},
		{"OVERWRITE that live did not touch", a, a, c, Data, Overwrite, "stays c"},
		{"IGNORE", a, b, a, Data, Ignore, "stays a"},
		{"APPEND", a, b, c, Data, Append, "merged APPEND"},
		{"APPEND that next did not touch", a, b, a, Data, Append, "live b"},
		{"APPEND to what was moved away", a, none, c, Data, Append, "merged APPEND"},
		{"APPEND to a link", a, b, link, Setting, Append, "live b aside"},
		{"MERGE", a, b, c, Setting, Merge, "merged MERGE"},
	} {
		got := Decide(test.base, test.live, test.next, test.file, test.action)
		if s := show(got, test.live, test.next); s != test.want {
			t.Errorf("%s: %s, want %s", test.name, s, test.want)
		}
		if test.want == "stays "+describe(test.next) && got.Changes(test.next) {
			t.Errorf("%s: it is to be changed", test.name)
		}
		if (got.Refused || got.KeepTarget || got.KeepRunning) && got.Conflict == "" {
			t.Errorf("%s: there is no reason", test.name)
		}
	}
}

// TestDecideOnFlags merges the flags of chattr(1).
func TestDecideOnFlags(t *testing.T) {
	const immutable, noatime = 0x10, 0x80
	with := func(n Node, flags uint32) Node {
		n.Flags = flags
		return n
	}
	a, b, c := file("a", 0o644), file("b", 0o644), file("c", 0o644)
	dir := Node{Kind: Directory}
	for _, test := range []struct {
		name             string
		base, live, next Node
		thing            Source
		flags            uint32
	}{
		{"of a directory", dir, with(dir, nocow), dir, FromRunning, nocow},
		{"of both", dir, with(dir, nocow), with(dir, noatime), FromTarget, nocow | noatime},
		{"given away", with(dir, noatime|immutable), with(dir, noatime), with(dir, noatime|immutable|compressed), FromTarget, noatime | compressed},
		{"against each other", dir, with(dir, nocow), with(dir, compressed), FromTarget, nocow},
		{"and content there", a, with(a, noatime), c, FromTarget, noatime},
		{"and content here", a, b, with(a, noatime), FromRunning, noatime},
		{"that needs a file to be written", a, with(a, nocow), with(a, noatime), FromRunning, nocow | noatime},
		{"that can't be had", a, with(a, nocow), c, FromTarget, 0},
	} {
		d := Decide(test.base, test.live, test.next, Data, "")
		if d.Source != test.thing || d.Attributes.Flags != test.flags {
			t.Errorf("%s: %+v", test.name, d)
		}
	}
}

func describe(n Node) string {
	if n.Kind == Regular {
		return n.Content
	}
	return n.Kind.String()
}

func show(d Decision, running, target Node) string {
	var s string
	switch d.Source {
	case FromTarget:
		s = "stays " + describe(target)
	case FromRunning:
		s = "live " + describe(running)
	case FromMerged:
		s = "merged " + string(d.Action)
	}
	if d.Attributes.Mode == 0o600 {
		s += " 600"
	}
	if len(d.Attributes.Xattrs) > 0 {
		s += " acl"
	}
	if d.KeepTarget {
		s += " aside"
	}
	if d.KeepRunning {
		s += " beside"
	}
	if d.Refused {
		s += " refused"
	}
	return s
}

func TestMergeAttributes(t *testing.T) {
	base := Attributes{Mode: 0o644, Owner: "root", Group: "root", Xattrs: map[string]string{"user.a": "1", "user.b": "1", "user.c": ""}}
	running := Attributes{Mode: 0o640, Owner: "root", Group: "adm", Xattrs: map[string]string{"user.a": "1", "user.c": "", "user.d": ""}}
	target := Attributes{Mode: 0o755, Owner: "www-data", Group: "root", Xattrs: map[string]string{"user.a": "2", "user.b": "1"}}
	want := Attributes{Mode: 0o640, Owner: "www-data", Group: "adm", Xattrs: map[string]string{"user.a": "2", "user.d": ""}}
	got, conflicts := mergeAttributes(base, running, target)
	if !got.same(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(conflicts) != 1 || conflicts[0] != "mode" {
		t.Errorf("conflicts are %q, want the mode", conflicts)
	}
}
