package merge

import (
	"slices"
	"strings"
	"testing"
)

func lines(l ...string) []byte {
	if len(l) == 0 {
		return nil
	}
	return []byte(strings.Join(l, "\n") + "\n")
}

func TestLines(t *testing.T) {
	hosts, fstab := byLine["etc/hosts"], byLine["etc/fstab"]
	for _, test := range []struct {
		name             string
		format           format
		base, live, next []byte
		want             []byte
		lost             []string
	}{
		{"nobody", hosts, lines("a", "b"), lines("a", "b"), lines("a", "b"), lines("a", "b"), nil},
		{"live adds", hosts, lines("a"), lines("a", "x"), lines("a", "y"), lines("a", "y", "x"), nil},
		{"live deletes", hosts, lines("a", "b", "c"), lines("a", "c"), lines("a", "b", "c", "d"), lines("a", "c", "d"), nil},
		{"next deletes", hosts, lines("a", "b", "c"), lines("x", "a", "b", "c"), lines("a", "c"), lines("x", "a", "c"), nil},
		{"both delete", hosts, lines("a", "b"), lines("a", "x"), lines("a", "y"), lines("a", "y", "x"), nil},
		{"both add the same", hosts, lines("a"), lines("a", "x", "z"), lines("a", "x"), lines("a", "x", "z"), nil},
		{"the place", hosts, lines("a", "b", "c"), lines("a", "b", "c", "x"), lines("a", "new", "b", "c"), lines("a", "new", "b", "c", "x"), nil},
		{"the first place", hosts, lines("a"), lines("a", "x"), lines("new", "a"), lines("new", "a", "x"), nil},
		{"twice the same line", hosts, lines("#", "a", "#"), lines("#", "a", "#", "b"), lines("#", "a", "#", "c", "#"), lines("#", "a", "#", "c", "#", "b"), nil},
		{"blank lines", hosts, lines("a", "", "b"), lines("a", "", "b", "", "c"), lines("a", "", "x", "b"), lines("a", "", "x", "b", "", "c"), nil},
		{"no file on the live side", hosts, lines("a"), nil, lines("a"), nil, nil},
		{"no line feed at the end", hosts, []byte("a"), []byte("a\nb"), []byte("a\nc"), lines("a", "c", "b"), nil},
		{"an entry changed", fstab,
			lines("dev1 / btrfs", "dev2 /home ext4"), lines("dev1 / btrfs", "dev3 /home ext4"), lines("dev1 / btrfs ro", "dev2 /home ext4"),
			lines("dev1 / btrfs ro", "dev3 /home ext4"), nil},
		{"both changed an entry", fstab,
			lines("dev1 / btrfs"), lines("dev1 / btrfs noatime"), lines("dev1 / btrfs ro"),
			lines("dev1 / btrfs noatime"), []string{"dev1 / btrfs ro"}},
		{"deleted and changed", fstab,
			lines("a /a x", "b /b x"), lines("a /a x"), lines("a /a x", "b /b y"),
			lines("a /a x"), []string{"b /b y"}},
		{"changed and deleted", fstab,
			lines("a /a x", "b /b x"), lines("a /a x", "b /b y"), lines("a /a z"),
			lines("a /a z", "b /b y"), nil},
	} {
		got, conflicts := test.format.lines(test.base, test.live, test.next)
		if string(got) != string(test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
		var lost []string
		for _, c := range conflicts {
			lost = append(lost, c.Lost)
		}
		if !slices.Equal(lost, test.lost) {
			t.Errorf("%s: lost are %q, want %q", test.name, lost, test.lost)
		}
	}
}

// FuzzLines checks properties of every merge: a change of only one side wins, and a
// repeated merge changes nothing.
func FuzzLines(f *testing.F) {
	f.Add("a\nb\n", "a\n", "b\nc\n")
	f.Add("x:1\ny:2\n", "x:2\ny:2\n", "x:1\n\n\nz")
	f.Fuzz(func(t *testing.T, base, running, target string) {
		for _, format := range []format{byLine["etc/hosts"], byLine["etc/fstab"], table(groupFields)} {
			merge := func(base, running, target string) string {
				merged, _ := format.lines([]byte(base), []byte(running), []byte(target))
				return string(merged)
			}
			if got := merge(base, base, target); got != target {
				t.Errorf("nothing changed, and %q became %q", target, got)
			}
			if got := merge(base, running, base); got != running {
				t.Errorf("%q was to be carried, and became %q", running, got)
			}
			merged := merge(base, running, target)
			if again := merge(running, running, merged); again != merged {
				t.Errorf("%q became %q when it was done again", merged, again)
			}
		}
	})
}
