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
		want             string // content, mode in octal if it isn't 644, and what else is decided
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

		{"a package's file, changed", a, b, a, Packaged, "", "stays a"},
		{"a package's file, changed by both", a, b, c, Packaged, "", "stays c"},
		{"a package's file, deleted", a, none, a, Packaged, "", "stays a"},
		{"a package's file, its mode", a, private, c, Packaged, "", "stays c 600"},

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
		if (got.Refused || got.Aside) && got.Why == "" {
			t.Errorf("%s: there is no reason", test.name)
		}
	}
}

func describe(n Node) string {
	if n.Kind == Regular {
		return n.Content
	}
	return n.Kind.String()
}

func show(d Decision, live, next Node) string {
	var s string
	switch d.Thing {
	case FromNext:
		s = "stays " + describe(next)
	case FromLive:
		s = "live " + describe(live)
	case FromMerged:
		s = "merged " + string(d.Action)
	}
	if d.Attributes.Mode == 0o600 {
		s += " 600"
	}
	if len(d.Attributes.Xattrs) > 0 {
		s += " acl"
	}
	if d.Aside {
		s += " aside"
	}
	if d.Refused {
		s += " refused"
	}
	return s
}

func TestMergeAttributes(t *testing.T) {
	base := Attributes{Mode: 0o644, Owner: "root", Group: "root", Xattrs: map[string]string{"user.a": "1", "user.b": "1", "user.c": ""}}
	live := Attributes{Mode: 0o640, Owner: "root", Group: "adm", Xattrs: map[string]string{"user.a": "1", "user.c": "", "user.d": ""}}
	next := Attributes{Mode: 0o755, Owner: "www-data", Group: "root", Xattrs: map[string]string{"user.a": "2", "user.b": "1"}}
	want := Attributes{Mode: 0o640, Owner: "www-data", Group: "adm", Xattrs: map[string]string{"user.a": "2", "user.d": ""}}
	got, clashes := mergeAttributes(base, live, next)
	if !got.same(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	if len(clashes) != 1 || clashes[0] != "mode" {
		t.Errorf("clashes are %q, want the mode", clashes)
	}
}
