package pkgdb

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	debversion "github.com/knqyf263/go-deb-version"
)

// Change is a package that differs between two roots. From is "" for a new package, To
// for a removed one.
type Change struct {
	Name string `json:"name"`
	Arch string `json:"arch"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
}

// Diff has the packages that differ between two roots. Each list is sorted by name and
// architecture, and is never nil.
type Diff struct {
	Added      []Change `json:"added"`
	Removed    []Change `json:"removed"`
	Upgraded   []Change `json:"upgraded"`
	Downgraded []Change `json:"downgraded"`
}

// Len returns the number of packages that differ.
func (d Diff) Len() int {
	return len(d.Added) + len(d.Removed) + len(d.Upgraded) + len(d.Downgraded)
}

// Compare returns the differences of to from from, among the packages that are
// [Package.Present]. Versions that dpkg treats as equal (1.0 and 1.0-0) do not differ.
// A package that changed its architecture, such as from amd64 to all, counts as
// upgraded. The error is about a version that dpkg would not accept.
func Compare(from, to *DB) (Diff, error) {
	diff := Diff{Added: []Change{}, Removed: []Change{}, Upgraded: []Change{}, Downgraded: []Change{}}
	before, after := presentByName(from), presentByName(to)
	for name, olds := range before {
		if err := diff.compareInstances(name, olds, after[name]); err != nil {
			return Diff{}, err
		}
	}
	for name, news := range after {
		if _, both := before[name]; !both {
			if err := diff.compareInstances(name, nil, news); err != nil {
				return Diff{}, err
			}
		}
	}
	for _, changes := range [][]Change{diff.Added, diff.Removed, diff.Upgraded, diff.Downgraded} {
		slices.SortFunc(changes, func(a, b Change) int {
			return byNameAndArch(Package{Name: a.Name, Arch: a.Arch}, Package{Name: b.Name, Arch: b.Arch})
		})
	}
	return diff, nil
}

func presentByName(db *DB) map[string][]Package {
	byName := make(map[string][]Package, len(db.Packages))
	for _, p := range db.Packages {
		if p.Present() {
			byName[p.Name] = append(byName[p.Name], p)
		}
	}
	return byName
}

// compareInstances adds the differences between the instances of one name.
func (d *Diff) compareInstances(name string, olds, news []Package) error {
	var gone, come []Package
	for _, old := range olds {
		i := slices.IndexFunc(news, func(p Package) bool { return p.Arch == old.Arch })
		if i < 0 {
			gone = append(gone, old)
		} else if err := d.enter(old, news[i]); err != nil {
			return err
		}
	}
	for _, p := range news {
		if !slices.ContainsFunc(olds, func(old Package) bool { return p.Arch == old.Arch }) {
			come = append(come, p)
		}
	}
	if len(gone) == 1 && len(come) == 1 && gone[0].Version != come[0].Version {
		return d.enter(gone[0], come[0])
	}
	for _, p := range gone {
		d.Removed = append(d.Removed, Change{Name: name, Arch: p.Arch, From: p.Version})
	}
	for _, p := range come {
		d.Added = append(d.Added, Change{Name: name, Arch: p.Arch, To: p.Version})
	}
	return nil
}

// enter adds a package that both roots have.
func (d *Diff) enter(from, to Package) error {
	order, err := compareVersions(from.Version, to.Version)
	if err != nil {
		return fmt.Errorf("cannot compare the versions of %s: %w", to.Name, err)
	}
	change := Change{Name: to.Name, Arch: to.Arch, From: from.Version, To: to.Version}
	switch {
	case order < 0:
		d.Upgraded = append(d.Upgraded, change)
	case order > 0:
		d.Downgraded = append(d.Downgraded, change)
	}
	return nil
}

// longNumber matches a number in a version that go-deb-version cannot represent.
var longNumber = regexp.MustCompile(`[0-9]{19}`)

// compareVersions orders two versions as dpkg does (deb-version(7)): -1 if a is older,
// 1 if b is.
func compareVersions(a, b string) (int, error) {
	if a == b {
		return 0, nil
	}
	va, err := debversion.NewVersion(a)
	if err != nil {
		return 0, fmt.Errorf("%.80q is not a version: %w", a, err)
	}
	vb, err := debversion.NewVersion(b)
	if err != nil {
		return 0, fmt.Errorf("%.80q is not a version: %w", b, err)
	}
	order := va.Compare(vb)
	if order == 0 && (longNumber.MatchString(a) || longNumber.MatchString(b)) {
		// The library treats all numbers beyond an int64 as equal. Such numbers are
		// time stamps or hashes of one length.
		order = cmp.Or(len(a)-len(b), strings.Compare(a, b))
	}
	return cmp.Compare(order, 0), nil
}
