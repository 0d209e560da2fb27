package pkgdb

import (
	"errors"
	"fmt"
)

// ErrDowngraded reports that the administrator downgraded a package. Only the
// administrator can decide about this package in an upgraded system.
var ErrDowngraded = errors.New("it was downgraded")

// Replay has the package changes that repeat those of another root file system. The
// names are apt's.
type Replay struct {
	Install []string // or upgrade
	Remove  []string
	Auto    []string // to be marked as automatic (apt-mark(8)), and so on
	Manual  []string
	Hold    []string
	Unhold  []string
}

// Empty reports whether there are no changes.
func (r Replay) Empty() bool {
	return len(r.Install)+len(r.Remove)+len(r.Auto)+len(r.Manual)+len(r.Hold)+len(r.Unhold) == 0
}

// Missing returns the changes from base to running that target lacks, which was also made
// from base. The error is ErrDowngraded. Packages that an upgrade has removed from target
// stay removed.
func Missing(base, running, target *DB) (Replay, error) {
	var r Replay
	before, after, known := byKey(base), byKey(target), map[string]bool{}
	for _, p := range running.Packages {
		known[p.key()] = true
		old, had := before[p.key()]
		now, has := after[p.key()]
		wanted, err := missing(p, old, had, now, has)
		if err != nil {
			return Replay{}, err
		}
		switch {
		case wanted:
			r.Install = append(r.Install, p.AptName())
		case had && !p.Present() && has:
			r.Remove = append(r.Remove, p.AptName())
		}
		if !p.Present() || !has && !wanted {
			continue
		}
		if p.Auto != (had && old.Auto) && p.Auto != (has && now.Auto) {
			mark(&r.Auto, &r.Manual, p, p.Auto)
		}
		if p.held() != (had && old.held()) && p.held() != (has && now.held()) {
			mark(&r.Hold, &r.Unhold, p, p.held())
		}
	}
	for _, p := range base.Packages { // including those without a record in running
		if _, has := after[p.key()]; has && p.Present() && !known[p.key()] {
			r.Remove = append(r.Remove, p.AptName())
		}
	}
	return r, nil
}

// missing reports whether a package of running must be installed or upgraded, given its
// earlier state and its state in the other root.
func missing(p, old Package, had bool, now Package, has bool) (bool, error) {
	if !p.Present() || had && old.Version == p.Version {
		return false, nil
	}
	if !had {
		return !has, nil
	}
	order, err := compareVersions(old.Version, p.Version)
	if err != nil || !has {
		return false, err
	}
	if order > 0 && now.Version != p.Version {
		return false, fmt.Errorf("%w: %s %s, which was %s", ErrDowngraded, p.AptName(), p.Version, old.Version)
	}
	order, err = compareVersions(now.Version, p.Version)
	return order < 0, err
}

func mark(yes, no *[]string, p Package, is bool) {
	if is {
		*yes = append(*yes, p.AptName())
	} else {
		*no = append(*no, p.AptName())
	}
}

func (p Package) held() bool { return p.Want == "hold" }

// AptName returns the name of the package for apt.
func (p Package) AptName() string {
	if p.Arch == "all" || p.Arch == "" {
		return p.Name
	}
	return p.Name + ":" + p.Arch
}

func (p Package) key() string { return p.Name + ":" + p.Arch }

// byKey returns the present packages.
func byKey(db *DB) map[string]Package {
	found := map[string]Package{}
	for _, p := range db.Packages {
		if p.Present() {
			found[p.key()] = p
		}
	}
	return found
}
