package dedupe

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChoose(t *testing.T) {
	tests := []struct {
		name      string
		files     []found
		elsewhere map[string][]string
		want      []candidate
	}{
		{name: "nothing"},
		{
			name:  "a file of a new name and unknown content",
			files: []found{{path: "a", inode: 1, size: 5000}},
		},
		{
			name:  "the same path and size",
			files: []found{{path: "a", inode: 1, size: 5000, samePath: true}},
			want:  []candidate{{"a", 5000, []string{"a"}}},
		},
		{
			name:      "the same checksum elsewhere",
			files:     []found{{path: "a", inode: 1, size: 5000}},
			elsewhere: map[string][]string{"a": {"b", "c"}},
			want:      []candidate{{"a", 5000, []string{"b", "c"}}},
		},
		{
			name:      "its own path goes first",
			files:     []found{{path: "a", inode: 1, size: 5000, samePath: true}},
			elsewhere: map[string][]string{"a": {"b"}},
			want:      []candidate{{"a", 5000, []string{"a"}}},
		},
		{
			name: "in the order of inodes",
			files: []found{
				{path: "a", inode: 3, size: 1, samePath: true},
				{path: "b", inode: 1, size: 2, samePath: true},
				{path: "c", inode: 2, size: 3, samePath: true},
			},
			want: []candidate{{"b", 2, []string{"b"}}, {"c", 3, []string{"c"}}, {"a", 1, []string{"a"}}},
		},
		{
			name: "hard links are one file, which may be any of those of the base",
			files: []found{
				{path: "z", inode: 7, size: 4, samePath: true},
				{path: "new", inode: 7, size: 4},
				{path: "y", inode: 7, size: 4, samePath: true},
			},
			elsewhere: map[string][]string{"new": {"y", "old"}},
			want:      []candidate{{"new", 4, []string{"y", "old", "z"}}},
		},
		{
			name: "no more sources than are worth the time",
			files: []found{
				{path: "a", inode: 7, size: 4, samePath: true}, {path: "b", inode: 7, size: 4, samePath: true},
				{path: "c", inode: 7, size: 4, samePath: true}, {path: "d", inode: 7, size: 4, samePath: true},
			},
			want: []candidate{{"a", 4, []string{"a", "b", "c"}}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := choose(test.files, test.elsewhere)
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(candidate{})); diff != "" {
				t.Errorf("choose (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEachChecksum(t *testing.T) {
	const a, b = "0123456789abcdef0123456789abcdef", "ffffffffffffffffffffffffffffffff"
	got := map[string]string{}
	eachChecksum([]byte(a+"  usr/bin/a b\n"+
		"short  x\n"+
		"\n"+
		b+" *usr/bin/binary\n"+
		b+"  \n"+
		b+"  usr/bin/last"), func(sum, path []byte) { got[string(path)] = string(sum) })
	want := map[string]string{"usr/bin/a b": a, "usr/bin/last": b}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("eachChecksum (-want +got):\n%s", diff)
	}
}

func TestAliases(t *testing.T) {
	links := aliases{"lib": "usr/lib"}
	for in, want := range map[string]string{
		"lib/x/y":         "usr/lib/x/y",
		"/lib/x":          "usr/lib/x",
		"./lib/x":         "usr/lib/x",
		"lib":             "lib",
		"library/x":       "library/x",
		"usr/lib/x":       "usr/lib/x",
		"bin/x":           "bin/x",
		"lib/../../etc/x": "../etc/x", // openBeneath refuses it
	} {
		if got := links.resolve(in); got != want {
			t.Errorf("resolve(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestAppendDirents(t *testing.T) {
	record := func(inode, kind byte, name string, length int) []byte {
		r := make([]byte, length)
		// Numbers below 256 at both ends, so that the test passes in either byte order.
		r[0], r[7] = inode, inode
		r[16], r[17] = byte(length), byte(length)
		r[18] = kind
		copy(r[19:], name)
		return r
	}
	data := record(1, 4, ".", 0x101)
	data = append(data, record(2, 4, "..", 0x101)...)
	data = append(data, record(3, 8, "file", 0x101)...)
	got := appendDirents(nil, data)
	want := []dirent{{0x0300000000000003, 8, "file"}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(dirent{})); diff != "" {
		t.Errorf("appendDirents (-want +got):\n%s", diff)
	}
	for cut := range data {
		appendDirents(nil, data[:cut]) // must not panic
	}
}
