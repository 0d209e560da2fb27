package btrfs_test

import (
	"archive/tar"
	"strconv"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// skipCases lists the cases: first by the content of the packages, then by changes to
// the installed files.
func skipCases() []skipCase {
	const f, g = "/usr/lib/skip/f", "/usr/lib/skip/g"
	small, large := noise(smallSize, 1), noise(largeSize, 2)
	one, two := skipPackage("1.0", regular(f, large)), skipPackage("2.0", regular(f, large))
	zeros := append(append(noise(64<<10, 3), make([]byte, 1<<20)...), noise(64<<10, 4)...)
	hole := func(t *testing.T, root string) { makeHoles(t, root+f, 64<<10, 64<<10+1<<20) }
	return []skipCase{
		{name: "unchanged", before: one, after: two, unchanged: same(f)},
		{name: "reinstalled", before: one, after: one, unchanged: same(f)},
		{name: "downgrade", before: two, after: one, unchanged: same(f)},
		{name: "some changed",
			before:    skipPackage("1.0", regular(f, large), regular(g, small)),
			after:     skipPackage("2.0", regular(f, large), regular(g, flipped(small, 0))),
			unchanged: same(f), changed: []string{g}},
		{name: "first byte", before: one, after: skipPackage("2.0", regular(f, flipped(large, 0))), changed: []string{f}},
		{name: "last byte", before: one, after: skipPackage("2.0", regular(f, flipped(large, largeSize-1))), changed: []string{f}},
		{name: "last byte of a buffer", before: one, after: skipPackage("2.0", regular(f, flipped(large, 2*32<<10-1))), changed: []string{f}},
		{name: "first byte of a buffer", before: one, after: skipPackage("2.0", regular(f, flipped(large, 2*32<<10))), changed: []string{f}},
		{name: "longer", before: one, after: skipPackage("2.0", regular(f, append(large[:largeSize:largeSize], 'x'))), changed: []string{f}},
		{name: "shorter", before: one, after: skipPackage("2.0", regular(f, large[:largeSize-1])), changed: []string{f}},
		{name: "sizes",
			before: skipPackage("1.0", sized(0, 1, inlineSize, inlineSize+1, 4095, 4096, 4097, 32<<10, 64<<10, 1<<20+1)...),
			after:  skipPackage("2.0", sized(0, 1, inlineSize, inlineSize+1, 4095, 4096, 4097, 32<<10, 64<<10, 1<<20+1)...),
			unchanged: same("/usr/lib/skip/2049", "/usr/lib/skip/4095", "/usr/lib/skip/4096", "/usr/lib/skip/4097",
				"/usr/lib/skip/32768", "/usr/lib/skip/65536", "/usr/lib/skip/1048577"),
			changed: []string{"/usr/lib/skip/1", "/usr/lib/skip/2048"}},
		{name: "new file", before: one, after: skipPackage("2.0", regular(f, large), regular(g, large)),
			unchanged: same(f)},
		{name: "file gone", before: skipPackage("1.0", regular(f, large), regular(g, large)), after: two, unchanged: same(f)},

		{name: "hard links", before: skipPackage("1.0", regular(f, large), hardLink(g, f)),
			after: skipPackage("2.0", regular(f, large), hardLink(g, f)), unchanged: same(f, g)},
		{name: "hard link becomes file", before: skipPackage("1.0", regular(f, large), hardLink(g, f)),
			after: skipPackage("2.0", regular(f, large), regular(g, large)), unchanged: same(f, g)},
		{name: "files become hard links", before: skipPackage("1.0", regular(f, large), regular(g, large)),
			after: skipPackage("2.0", regular(f, large), hardLink(g, f)), unchanged: same(f)},
		{name: "hard linked by the admin", before: one, script: "mkdir /srv/skip && ln " + f + " /srv/skip/kept",
			after: two, unchanged: same(f)},

		{name: "setuid comes", before: one, after: skipPackage("2.0", owned(regular(f, large), 0o4755, 0, 0)), unchanged: same(f)},
		{name: "setuid goes", before: skipPackage("1.0", owned(regular(f, large), 0o4755, 0, 0)), after: two, unchanged: same(f)},
		{name: "owner", before: one, after: skipPackage("2.0", owned(regular(f, large), 0o640, 33, 42)), unchanged: same(f)},
		{name: "mode and owner by hand", before: one, script: "chmod 600 " + f + " && chown 1:1 " + f, after: two, unchanged: same(f)},
		{name: "statoverride", before: one, script: "dpkg-statoverride --add --update www-data adm 4711 " + f, after: two, unchanged: same(f)},

		{name: "diversion", before: one, script: "dpkg-divert --local --rename --add " + f + " && echo mine >" + f,
			after: two, unchanged: same(f + ".distrib")},
		{name: "diversion without the file", before: one, script: "dpkg-divert --local --no-rename --add " + f,
			after: two},
		{name: "moved from another package", before: skipPackage("1.0", regular(g, small)),
			others: []packages.Exact{{Name: "skip-other", Version: "1.0", Members: []packages.Member{regular(f, large)}, Time: one.Time}},
			after: packages.Exact{Name: "skip", Version: "2.0", Fields: []string{"Replaces: skip-other"},
				Members: two.Members, Time: two.Time},
			unchanged: same(f)},

		{name: "modified by hand", before: one, prepare: overwrite(f, flipped(large, 70000)), after: two, changed: []string{f}},
		{name: "modified by hand into the new", before: one, prepare: overwrite(f, small),
			after: skipPackage("2.0", regular(f, small)), unchanged: same(f)},
		{name: "deleted by hand", before: one, script: "rm " + f, after: two},
		{name: "extended attribute", before: one, prepare: attribute(f, "user.mine", []byte("value")), after: two, unchanged: same(f)},
		{name: "capability", before: one, prepare: attribute(f, "security.capability", netAdmin), after: two, unchanged: same(f)},
		{name: "nocow", before: one, prepare: func(t *testing.T, root string) { makeNocow(t, root+f) }, after: two, changed: []string{f}},
		{name: "holes", before: skipPackage("1.0", regular(f, zeros)), prepare: hole,
			after: skipPackage("2.0", regular(f, zeros)), unchanged: same(f)},
		{name: "holes, then a change", before: skipPackage("1.0", regular(f, zeros)), prepare: hole,
			after: skipPackage("2.0", regular(f, flipped(zeros, len(zeros)-1))), changed: []string{f}},
		{name: "touched meanwhile", before: one, script: meanwhile("chmod 700 " + f), after: two, unchanged: same(f)},
		{name: "leftovers of a crash", before: one,
			script: "cp " + f + " " + f + ".dpkg-new && cp -a " + f + " " + f + ".dpkg-tmp", after: two, unchanged: same(f)},
		{name: "only the leftover of a crash", before: one, script: "mv " + f + " " + f + ".dpkg-tmp",
			after: two, unchanged: map[string]string{f: f + ".dpkg-tmp"}},

		{name: "link becomes file", before: skipPackage("1.0", symlink(f, "g"), regular(g, large)),
			after: skipPackage("2.0", regular(f, large), regular(g, large)), unchanged: same(g), changed: []string{f}},
		{name: "file becomes link", before: skipPackage("1.0", regular(f, large), regular(g, large)),
			after: skipPackage("2.0", symlink(f, "g"), regular(g, large)), unchanged: same(g)},
		{name: "link by hand to the same content", before: one,
			script: "mkdir /srv/skip && mv " + f + " /srv/skip/f && ln -s /srv/skip/f " + f, after: two, changed: []string{f}},
		{name: "fifo in its place", before: one, script: "rm " + f + " && mkfifo " + f, after: two},
		{name: "becomes a fifo", before: one, after: skipPackage("2.0", packages.Member{Name: f, Type: tar.TypeFifo}, regular(g, large))},
		{name: "directory is a link", before: one, script: "mkdir /srv/skip && mv /usr/lib/skip /srv/skip/dir && ln -s /srv/skip/dir /usr/lib/skip",
			after: two, unchanged: map[string]string{"/srv/skip/dir/f": "/srv/skip/dir/f"}},
		{name: "name through a link", before: skipPackage("1.0", regular("/lib/skip/f", large)),
			after: skipPackage("2.0", regular("/lib/skip/f", large)), unchanged: same(f)},
		{name: "name without the link", before: skipPackage("1.0", regular("/lib/skip/f", large)), after: two, unchanged: same(f)},
		{name: "name with the link", before: one, after: skipPackage("2.0", regular("/lib/skip/f", large)), unchanged: same(f)},

		{name: "conflict", before: skipPackage("1.0", regular(f, large), regular(g, large)),
			others: []packages.Exact{{Name: "skip-other", Version: "1.0", Members: []packages.Member{regular("/usr/lib/skip/z", small)}, Time: one.Time}},
			after:  skipPackage("2.0", regular(f, large), regular(g, flipped(large, 9)), regular("/usr/lib/skip/z", small)), fails: true},
		{name: "file cut short", before: one, after: two, cut: 100000, fails: true},
		{name: "second file cut short", before: skipPackage("1.0", regular(f, large), regular(g, large)),
			after: skipPackage("2.0", regular(f, large), regular(g, large)), cut: 250000, fails: true},
		{name: "undone after unpacking", before: withScript(one, "postrm", "#!/bin/sh\n[ \"$1\" != upgrade ]\n"),
			after: withScript(two, "postrm", "#!/bin/sh\n[ \"$1\" != failed-upgrade ]\n"), fails: true},
	}
}

// sized returns files whose names are their sizes in bytes.
func sized(sizes ...int) []packages.Member {
	var members []packages.Member
	for _, size := range sizes {
		members = append(members, regular("/usr/lib/skip/"+strconv.Itoa(size), noise(size, int64(size))))
	}
	return members
}

func withScript(e packages.Exact, name, script string) packages.Exact {
	e.Control = map[string]string{name: script}
	return e
}
