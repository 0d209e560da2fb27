package merge

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strings"
)

// unit is a set of paths that belong together: a program reads them together, and could
// not read a mixture of both sides.
type unit struct {
	path   string // the directory or the main file; rules apply to this path
	what   string // the description
	within bool   // everything in the directory belongs to it, restricted by only
	only   *regexp.Regexp
	files  []string
	git    bool // a git repository, of which two can be merged
	inside bool // files set aside go into the directory, where the program does not look
	idle   *regexp.Regexp

	changes []Change // the changes of its paths, as if they were independent
}

// apart reports whether a path below the unit's does not belong to it, because it was
// set aside.
func (u *unit) apart(name string) bool {
	return strings.HasPrefix(name, path.Join(u.path, kept))
}

// idles reports whether a path of a unit has no stored data: a lock, or a file that is
// generated when the unit is opened.
func (u *unit) idles(name string) bool {
	if u.idle == nil {
		return false
	}
	return u.idle.MatchString(u.rest(name))
}

// rest returns the path relative to the unit's.
func (u *unit) rest(name string) string {
	return strings.TrimPrefix(strings.TrimPrefix(name, u.path), "/")
}

// store is a kind of directory that is a unit.
type store struct {
	what   string
	name   string   // the name of the directory; "" for any
	marks  []string // names that must all exist on one side
	inside bool
	only   *regexp.Regexp // matches the members, if not all files are
	idle   *regexp.Regexp
}

// stores are the known kinds. A star at the end of a mark matches digits.
var stores = []store{
	{what: "Mercurial repository", name: ".hg", marks: []string{"requires"}, inside: true},
	{what: "Mercurial repository", name: ".hg", marks: []string{"store"}, inside: true},
	{what: "Bazaar repository", name: ".bzr", marks: []string{"branch-format"}, inside: true},
	{what: "Bazaar repository", name: ".bzr", marks: []string{"repository"}, inside: true},
	{what: "darcs repository", name: "_darcs", marks: []string{"format"}, inside: true},
	{what: "darcs repository", name: "_darcs", marks: []string{"hashed_inventory"}, inside: true},
	{what: "Subversion working copy", name: ".svn", marks: []string{"entries"}, inside: true},
	{what: "Subversion working copy", name: ".svn", marks: []string{"wc.db"}, inside: true},
	{what: "Jujutsu repository", name: ".jj", marks: []string{"repo"}, inside: true},
	{what: "Subversion repository", marks: []string{"format", "db", "hooks", "locks"}},
	{what: "LevelDB database", marks: []string{"CURRENT", "MANIFEST-*"}, idle: regexp.MustCompile(`^(LOCK|LOG|LOG\.old.*)$`)},
	{what: "Xapian database", marks: []string{"iamglass"}, idle: regexp.MustCompile(`^flintlock$`)},
	{what: "Xapian database", marks: []string{"iamchert"}, idle: regexp.MustCompile(`^flintlock$`)},
	{what: "WiredTiger database", marks: []string{"WiredTiger", "WiredTiger.wt"}, idle: regexp.MustCompile(`^(WiredTiger|mongod)\.lock$`)},
	{what: "PostgreSQL cluster", marks: []string{"PG_VERSION", "global", "base"}, idle: regexp.MustCompile(`^postmaster\.(pid|opts)$`)},
	{what: "set of Redis's append-only files", marks: []string{"appendonly.aof.manifest"}},
	{ // Packages' scripts leave files beside it.
		what: "MariaDB or MySQL database", marks: []string{"ibdata1"},
		only: regexp.MustCompile(`^(ibdata[0-9]+|ib_logfile[0-9]+|undo_?[0-9]+|#innodb_redo/.*|aria_log.*|.*\.(ibd|isl|frm|par|sdi|MA[DI]|MY[DI]))$`),
	},
}

var (
	sqliteRest   = []string{"-wal", "-shm", "-journal"}
	sqliteIdle   = regexp.MustCompile(`^-shm$`)
	lmdbIdle     = regexp.MustCompile(`(^|/)lock\.mdb$|^-lock$`)
	berkeleyIdle = regexp.MustCompile(`^__db\.`)
	berkeleyFile = regexp.MustCompile(`^(__db\.[0-9a-z]+|log\.[0-9]{10}|DB_CONFIG)$`)
	// Regions are numbered from one; the log of an old environment may begin with any
	// number.
	berkeleyMarks = []string{"__db.001", "DB_CONFIG", "log.0000000001"}
)

// shapes finds the units of paths.
type shapes struct {
	p     *planner
	dirs  map[string]*listing
	units map[string]*unit // the unit for each kind and path; nil if there is none
	ways  map[string]*unit // the unit that a directory is, or is in
}

// listing is the content of a directory on each side. It reads the directory once that
// is cheaper than single lookups. A file that cannot be read is not part of a unit; the
// comparison reports the error.
type listing struct {
	dir   string
	trees [3]Tree
	as    [3]int             // the side to ask: the base's, if the target's is equal
	known [3]map[string]bool // the names that were looked up, or all
	full  [3]bool
}

// cheap is the number of names to look up one by one.
const cheap = 100

func (l *listing) has(side int, name string) bool {
	i := l.as[side]
	there, known := l.known[i][name]
	switch {
	case known || l.full[i]:
	case len(l.known[i]) >= cheap:
		l.read(i)
		there = l.known[i][name]
	default:
		node, err := l.trees[i].Node(path.Join(l.dir, name))
		there = err == nil && node.Kind != Missing
		l.known[i][name] = there
	}
	return there
}

func (l *listing) read(side int) map[string]bool {
	i := l.as[side]
	if !l.full[i] {
		names, _ := l.trees[i].Names(l.dir)
		l.known[i], l.full[i] = make(map[string]bool, len(names)), true
		for _, name := range names {
			l.known[i][name] = true
		}
	}
	return l.known[i]
}

// any reports whether a name exists on any side.
func (l *listing) any(name string) bool { return l.has(0, name) || l.has(1, name) || l.has(2, name) }

// all returns the names of all sides.
func (l *listing) all() []string {
	var names []string
	for i := range l.trees {
		for name := range l.read(i) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (p *planner) sides() [3]Tree { return [3]Tree{p.trees.Base, p.trees.Running, p.trees.Target} }

func (s *shapes) list(dir string) *listing {
	l := s.dirs[dir]
	if l == nil {
		l = &listing{dir: dir, trees: s.p.sides(), as: [3]int{0, 1, 2}, known: [3]map[string]bool{{}, {}, {}}}
		if same, err := s.p.untouched(dir); err == nil && same {
			l.as[2] = 0
		}
		s.dirs[dir] = l
	}
	return l
}

// of returns the unit of a path, or nil if the path is independent.
func (s *shapes) of(c *Change) *unit {
	dir := path.Dir(c.Path)
	if c.Running.Kind == Directory || c.Base.Kind == Directory {
		dir = c.Path
	}
	if u := s.around(dir); u != nil && u.owns(c.Path) {
		return u
	}
	if c.Running.Kind != Regular && c.Base.Kind != Regular {
		return nil
	}
	return s.file(c)
}

// around returns the unit that a directory is, or the outermost one that contains it.
func (s *shapes) around(dir string) *unit {
	if dir == "." {
		return nil
	}
	if u, known := s.ways[dir]; known {
		return u
	}
	u := s.around(path.Dir(dir))
	if u == nil {
		u = s.directory(dir)
	}
	s.ways[dir] = u
	return u
}

// directory returns the unit that a directory is. The root and its direct
// subdirectories are never units by their content, only by name.
func (s *shapes) directory(dir string) *unit {
	l, base := s.list(dir), path.Base(dir)
	top := path.Dir(dir) == "."
	for i, tree := range s.p.sides() {
		has := func(mark string) bool { return l.marked(i, mark) }
		if has("HEAD") && has("objects") && has("refs") && (!top || strings.HasSuffix(base, ".git")) {
			if isKind(tree, path.Join(dir, "objects"), Directory) && isKind(tree, path.Join(dir, "refs"), Directory) {
				return &unit{path: dir, what: "git repository", within: true, git: true, inside: base == ".git"}
			}
		}
		for _, kind := range stores {
			if kind.name != "" && kind.name != base || kind.name == "" && top {
				continue
			}
			if !slices.ContainsFunc(kind.marks, func(mark string) bool { return !has(mark) }) {
				return &unit{path: dir, what: kind.what, within: true, inside: kind.inside, only: kind.only, idle: kind.idle}
			}
		}
	}
	return nil
}

func (l *listing) marked(side int, mark string) bool {
	begin, ok := strings.CutSuffix(mark, "*")
	if !ok {
		return l.has(side, mark)
	}
	for name := range l.read(side) {
		if rest, found := strings.CutPrefix(name, begin); found && rest != "" && strings.Trim(rest, "0123456789") == "" {
			return true
		}
	}
	return false
}

func isKind(tree Tree, name string, kind Kind) bool {
	node, err := tree.Node(name)
	return err == nil && node.Kind == kind
}

// file returns the unit of a file, by its name, the files beside it, and its first
// bytes.
func (s *shapes) file(c *Change) *unit {
	dir, base := path.Split(c.Path)
	l := s.list(path.Clean(dir))
	for _, rest := range sqliteRest {
		if main, found := strings.CutSuffix(base, rest); found && main != "" {
			if u := s.sqlite(dir, main, l); u != nil {
				return u
			}
		}
	}
	if slices.ContainsFunc(sqliteRest, func(rest string) bool { return l.any(base + rest) }) {
		if u := s.sqlite(dir, base, l); u != nil {
			return u
		}
	}
	if c.Source == FromMerged { // a single such file cannot be merged
		if u := s.sqlite(dir, base, l); u != nil {
			return u
		}
	}
	if (base == "data.mdb" || base == "lock.mdb") && l.any("data.mdb") && l.any("lock.mdb") {
		return s.known("lmdb "+dir+"data.mdb", func() *unit { return lmdb(dir, "data.mdb", "lock.mdb") })
	}
	main, found := strings.CutSuffix(base, "-lock")
	if !found && l.any(base+"-lock") {
		main, found = base, true
	}
	if found && main != "" {
		if u := s.lmdbFile(dir, main); u != nil {
			return u
		}
	}
	if u := s.berkeley(path.Clean(dir), l); u != nil && slices.Contains(u.files, c.Path) {
		return u
	}
	return nil
}

// known caches units.
func (s *shapes) known(name string, make func() *unit) *unit {
	u, known := s.units[name]
	if !known {
		u = make()
		s.units[name] = u
	}
	return u
}

// sqlite returns the unit of a database with its journals
// (sqlite.org/fileformat2.html).
func (s *shapes) sqlite(dir, main string, l *listing) *unit {
	return s.known("sqlite "+dir+main, func() *unit {
		is := s.begins(dir+main, 0, "SQLite format 3\x00") ||
			s.begins(dir+main+"-wal", 0, "\x37\x7f\x06\x82", "\x37\x7f\x06\x83") ||
			s.begins(dir+main+"-journal", 0, "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7")
		if !is {
			return nil
		}
		u := &unit{path: dir + main, what: "SQLite database", files: []string{dir + main}, idle: sqliteIdle}
		for _, rest := range sqliteRest {
			if l.any(main + rest) {
				u.files = append(u.files, dir+main+rest)
			}
		}
		return u
	})
}

// lmdbFile returns the unit of a database that is a file, not a directory
// (MDB_NOSUBDIR).
func (s *shapes) lmdbFile(dir, main string) *unit {
	return s.known("lmdb "+dir+main, func() *unit {
		if !s.begins(dir+main, 16, "\xde\xc0\xef\xbe", "\xbe\xef\xc0\xde") {
			return nil
		}
		return lmdb(dir, main, main+"-lock")
	})
}

func lmdb(dir, main, lock string) *unit {
	return &unit{path: dir + main, what: "LMDB database", files: []string{dir + main, dir + lock}, idle: lmdbIdle}
}

// berkeley returns the unit of a Berkeley DB environment: its regions, its log, and the
// databases in the same directory.
func (s *shapes) berkeley(dir string, l *listing) *unit {
	return s.known("berkeley "+dir, func() *unit {
		if !slices.ContainsFunc(berkeleyMarks, l.any) {
			return nil
		}
		names := l.all()
		u := &unit{path: dir, what: "Berkeley DB environment", idle: berkeleyIdle}
		for _, name := range names {
			file := path.Join(dir, name)
			if berkeleyFile.MatchString(name) || !strings.HasSuffix(name, kept) && s.begins(file, 12, "\x62\x31\x05\x00", "\x61\x15\x06\x00",
				"\x53\x22\x04\x00", "\x00\x05\x31\x62", "\x00\x06\x15\x61", "\x00\x04\x22\x53") {
				u.files = append(u.files, file)
			}
		}
		return u
	})
}

// begins reports whether a file has one of some words at an offset, on any side.
func (s *shapes) begins(name string, at int, words ...string) bool {
	const enough = 32
	for _, tree := range s.p.sides() {
		if !isKind(tree, name, Regular) {
			continue
		}
		head, err := s.p.trees.Read(name, tree, enough)
		if err != nil || len(head) < at {
			continue
		}
		for _, word := range words {
			if bytes.HasPrefix(head[at:], []byte(word)) {
				return true
			}
		}
	}
	return false
}
