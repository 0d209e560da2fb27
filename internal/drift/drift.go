// Package drift finds the changes in a running system since a boot environment was made
// from it, and applies them to the environment. Package merge makes the decisions.
package drift

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/longpath"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
)

// Sides are the subvolumes of a comparison, with their nested subvolumes: the base of
// the environment, the running system, and the environment (the target). Running and
// Target may be snapshots of these.
type Sides struct {
	Base, Running, Target string
	Parts                 []be.Part // of Running; none if Running is a snapshot, which contains its parts
	LeftOut               []string  // places of subvolumes that the target does not copy
	Name                  string    // the target's name, for files that are kept beside others
	ForkGeneration        uint64    // the generation in which the target was created, before any change in it
}

// Change is a path with its decision.
type Change struct {
	merge.Change
	Subvolume bool             // a whole nested subvolume of the running system
	Content   []byte           // the merged content, with merge.FromMerged; not for merge.Append
	Conflicts []merge.Conflict // the parts of the content that are lost
}

// Drift is the set of changes in the running system.
type Drift struct {
	Changes       []Change // a directory before its content
	Renumbered    []merge.Renumbering
	NewSubvolumes []string // places of new subvolumes of the running system, which the builder of the target copies (be.Build.CopyFromBase)

	targetChanged []string
	same          map[uint64]string // unchanged files that may have got another name, by inode in the running system
	times         map[string]int64  // modification times to set at the end, in nanoseconds since 1970
	moves         []rootfs.Move     // moves of directories to repeat in the target first
	places        []string          // those of NewSubvolumes for which the target needs an empty directory

	mutex   sync.Mutex
	skipped []Change // the changes that Apply could not carry
}

// Refused returns the changes that only the administrator can decide about.
func (d *Drift) Refused() []Change {
	return slices.DeleteFunc(slices.Clone(d.Changes), func(c Change) bool { return !c.Refused })
}

// CheckRefused returns an ErrRefused with some of the refused paths, if there are any.
func (d *Drift) CheckRefused() error {
	refused := d.Refused()
	if len(refused) == 0 {
		return nil
	}
	var names []string
	for _, c := range refused[:min(3, len(refused))] {
		names = append(names, "/"+c.Path)
	}
	more := ""
	if n := len(refused) - len(names); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return fmt.Errorf("cannot carry over %s%s: %w", strings.Join(names, ", "), more, ErrRefused)
}

// Settle removes the changes that the target already contains.
func (d *Drift) Settle() { d.Changes = slices.DeleteFunc(d.Changes, Change.settled) }

// finder has all three sides open.
type finder struct {
	base, running, target *rootfs.Root
	dirs                  struct{ base, live, next string }
	name                  string        // of the target
	attached              []string      // places of subvolumes that the sides show
	below                 *nestedFinder // the nested subvolumes that are decided on as a whole
	moves                 []rootfs.Move // the moves through which base and target are viewed
}

// Find compares the sides and changes nothing. Changes that the running system makes
// meanwhile may be missing.
func Find(st store.Store, sides Sides, rules merge.Rules) (*Drift, error) {
	if err := st.Sync(); err != nil {
		return nil, err
	}
	base, err := st.Get(sides.Base)
	if err != nil {
		return nil, fmt.Errorf("cannot determine the changes: %w", err)
	}
	runningChanged, err := st.Changed(sides.Running, base.OTransID)
	if err != nil {
		return nil, err
	}
	d := &Drift{times: map[string]int64{}}
	if d.targetChanged, err = st.Changed(sides.Target, sides.ForkGeneration); err != nil {
		return nil, err
	}
	f, err := openSides(st, sides)
	if err != nil {
		return nil, err
	}
	defer f.close()
	f.name = sides.Name
	f.below = &nestedFinder{store: st, sides: sides, base: base, finder: f, drift: d}
	more, err := f.below.compare()
	if err != nil {
		return nil, err
	}
	runningChanged = append(runningChanged, more...)
	fileOf, err := f.files()
	if err != nil {
		return nil, err
	}
	untouched := base.OTransID <= sides.ForkGeneration // otherwise the base is newer than the target
	if err := f.plan(d, runningChanged, untouched, rules, fileOf); err != nil {
		return nil, err
	}
	if err := f.planMoved(d, runningChanged, untouched, rules, fileOf); err != nil {
		return nil, err
	}
	d.Changes = append(d.Changes, f.below.whole...)
	return d, nil
}

// plan decides about each changed path. If untouched is true, a path that the target
// has not modified equals the base's.
func (f *finder) plan(d *Drift, runningChanged []string, untouched bool, rules merge.Rules, fileOf func(string) merge.File) error {
	trees := merge.Trees{
		Base: f.base, Running: f.running, Target: f.target, Same: rootfs.Same, Read: rootfs.ReadStart, Name: f.name,
		Time:    func(path string, modified int64) { d.times[path] = modified },
		IsUsers: f.running.IsUsers,
		SkipUnreadable: func(path string, err error) bool {
			return !rootfs.IsDeviceError(err) && f.running.MayBeUsers(path)
		},
	}
	if untouched {
		touched := map[string]bool{}
		for _, path := range d.targetChanged {
			touched[longpath.Cut(path)] = true
		}
		trees.Modified = func(path string) bool { return touched[rootfs.PathBefore(f.moves, path)] }
	}
	changes, same, err := merge.Plan(trees, runningChanged, rules, fileOf)
	if err != nil {
		return err
	}
	d.same = same
	changes = slices.DeleteFunc(changes, func(c merge.Change) bool { return f.below.covers(c.Path) })
	if err := f.complete(d, changes, rules); err != nil {
		return err
	}
	return f.refuseCovered(d, rules)
}

func openSides(st store.Store, sides Sides) (*finder, error) {
	f := &finder{}
	for _, side := range []struct {
		path string
		dir  *string
		root **rootfs.Root
	}{{sides.Base, &f.dirs.base, &f.base}, {sides.Running, &f.dirs.live, &f.running}, {sides.Target, &f.dirs.next, &f.target}} {
		root, err := rootfs.Open(st.Path(side.path))
		if err != nil {
			f.close()
			return nil, err
		}
		*side.dir, *side.root = st.Path(side.path), root
	}
	return f, nil
}

func (f *finder) close() {
	for _, root := range []*rootfs.Root{f.base, f.running, f.target} {
		if root != nil {
			_ = root.Close()
		}
	}
}

// derived are directories of files that can be generated again: caches (FHS 3.0, 5.5),
// links of update-alternatives(1), and links of update-ca-certificates(8).
var derived = []string{"var/cache/", "etc/alternatives/", "etc/ssl/certs/"}

// files returns a function that classifies a path by the packages of both sides.
func (f *finder) files() (func(path string) merge.File, error) {
	before, err := pkgdb.ReadFiles(f.dirs.base)
	if err != nil {
		return nil, err
	}
	after, err := pkgdb.ReadFiles(f.dirs.next)
	if err != nil {
		return nil, err
	}
	return func(path string) merge.File {
		switch {
		case before.Conffiles[path] || after.Conffiles[path]:
			return merge.Conffile
		case before.Packaged[path] || after.Packaged[path]:
			return merge.Packaged
		case slices.ContainsFunc(derived, func(dir string) bool { return strings.HasPrefix(path, dir) }):
			return merge.Derived
		case strings.HasPrefix(path, "etc/"):
			return merge.Setting
		}
		return merge.Data
	}, nil
}

// complete creates the content of merged files.
func (f *finder) complete(d *Drift, changes []merge.Change, rules merge.Rules) error {
	accounts := map[string]merge.Change{}
	for _, c := range changes {
		if slices.Contains(merge.AccountFiles, c.Path) && c.Rule.Action == merge.Merge {
			accounts[c.Path] = c
			continue
		}
		change := Change{Change: c}
		if c.Source == merge.FromMerged && c.Action != merge.Append && c.Description == "" {
			if err := f.text(&change); err != nil {
				// If merging fails, the running system's version wins.
				change.Source, change.KeepTarget, change.Conflict = merge.FromRunning, true, err.Error()
			}
		}
		d.Changes = append(d.Changes, change)
	}
	if len(accounts) == 0 {
		return nil
	}
	return f.accounts(d, accounts, rules)
}

// text puts a file together of which both sides changed the content.
func (f *finder) text(c *Change) (err error) {
	var contents [3][]byte
	for i, root := range []*rootfs.Root{f.base, f.running, f.target} {
		if contents[i], err = root.ReadFile(c.Path); err != nil {
			return err
		}
	}
	c.Content, c.Conflicts, err = merge.Text(c.Path, c.Action, contents[0], contents[1], contents[2])
	if err == nil && bytes.Equal(c.Content, contents[2]) {
		c.Source = merge.FromTarget
	}
	return err
}

// accounts adds the account files, which are merged together, except those with another
// rule.
func (f *finder) accounts(d *Drift, planned map[string]merge.Change, rules merge.Rules) error {
	sides := [3]merge.Accounts{{}, {}, {}}
	for i, dir := range []string{f.dirs.base, f.dirs.live, f.dirs.next} {
		for _, file := range merge.AccountFiles {
			content, err := readIfAny(dir, file)
			if err != nil {
				return fmt.Errorf("cannot merge the accounts: %w", err)
			}
			if content != nil {
				sides[i][file] = content
			}
		}
	}
	moved, err := merge.RenumberedAccount(sides[0], sides[1])
	if err != nil {
		return err
	}
	if moved != "" {
		c := planned["etc/passwd"]
		c.Path, c.Decision = "etc/passwd", merge.Decision{
			Refused: true, Attributes: c.Target.Attributes,
			Conflict: "the number of " + moved + " was changed, which cannot be carried. If you repeat the upgrade, the new boot environment has the new number",
		}
		d.Changes = append(d.Changes, Change{Change: c})
		return nil
	}
	merged, renumbered, conflicts, err := merge.MergeAccounts(sides[0], sides[1], sides[2])
	if err != nil {
		return err
	}
	d.Renumbered = renumbered
	var files []Change
	for _, file := range merge.AccountFiles {
		rule, _ := rules.For("/" + file)
		content, ok := merged[file]
		if !ok || rule.Action != merge.Merge {
			continue
		}
		c, ok := planned[file]
		if !ok {
			if c, err = f.unplanned(file, rule); err != nil {
				return err
			}
		}
		c.Source, c.Action, c.KeepTarget, c.Conflict = merge.FromMerged, merge.Merge, false, ""
		if bytes.Equal(content, sides[2][file]) {
			c.Source = merge.FromTarget
		}
		if c.Decision.Changes(c.Target) {
			files = append(files, Change{Change: c, Content: content})
		}
	}
	if len(files) > 0 {
		files[0].Conflicts = conflicts
	}
	// Account files come first, because all other files have owners.
	d.Changes = append(files, d.Changes...)
	return nil
}

// unplanned describes an account file that the running system did not change, but that
// changes with the others.
func (f *finder) unplanned(file string, rule merge.Rule) (c merge.Change, err error) {
	c.Path, c.File, c.Rule = file, merge.Setting, rule
	for _, side := range []struct {
		root *rootfs.Root
		node *merge.Node
	}{{f.base, &c.Base}, {f.running, &c.Running}, {f.target, &c.Target}} {
		if *side.node, err = side.root.Node(file); err != nil {
			return c, err
		}
	}
	c.Attributes = c.Target.Attributes
	return c, nil
}

// readIfAny reads a file, or returns nil if it does not exist.
func readIfAny(root, path string) ([]byte, error) {
	content, err := inroot.ReadFile(root, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if content == nil && err == nil {
		content = []byte{}
	}
	return content, err
}
