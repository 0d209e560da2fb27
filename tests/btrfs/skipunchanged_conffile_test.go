package btrfs_test

// skipConffileCases lists the cases of one conffile.
func skipConffileCases() []skipCase {
	const c = "/etc/skip/c"
	large := noise(largeSize, 5)
	newer, edited := flipped(large, 3), flipped(large, largeSize-1)
	one, two := config(skipPackage("1.0", regular(c, large))), config(skipPackage("2.0", regular(c, newer)))
	again := config(skipPackage("2.0", regular(c, large)))
	keep, replace := []string{"--force-confold"}, []string{"--force-confnew"}
	return []skipCase{
		{name: "conffile", before: one, after: again},
		{name: "conffile changed", before: one, after: two, changed: []string{c}},
		{name: "conffile edited", before: one, prepare: overwrite(c, edited), after: again},
		{name: "conffile edited and changed, kept", before: one, prepare: overwrite(c, edited), after: two, options: keep,
			changed: []string{c + ".dpkg-dist"}},
		{name: "conffile edited and changed, replaced", before: one, prepare: overwrite(c, edited), after: two, options: replace,
			changed: []string{c}},
		{name: "conffile edited into the new", before: one, prepare: overwrite(c, newer), after: two},
		{name: "conffile deleted", before: one, script: "rm " + c, after: again},
		// Stock dpkg puts the new conffile beside the link.
		{name: "conffile is a link", before: one, script: "mkdir /srv/skip && mv " + c + " /srv/skip/c && ln -s /srv/skip/c " + c,
			after: two, changed: []string{c + ".dpkg-new"}},
		{name: "conffile becomes file", before: one, after: skipPackage("2.0", regular(c, large)), unchanged: same(c)},
		{name: "file becomes conffile", before: skipPackage("1.0", regular(c, large)), after: again},
	}
}
