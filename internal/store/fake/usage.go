package fake

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/apt-be/apt-be/internal/store"
)

var _ store.Accountant = (*Store)(nil)

// ExclusiveUsage implements store.Accountant. Files with equal content count once, in
// however many subvolumes they are. Directories take no space.
func (s *Store) ExclusiveUsage(units [][]string) (shares []store.ExclusiveUsage, err error) {
	err = s.view(func(st *state) error {
		shares, err = s.exclusiveUsage(st, units)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot determine the space that subvolumes of %s use: %w", s.dir, err)
	}
	return shares, nil
}

// content is a content that is stored once.
type content struct {
	bytes  uint64
	units  []int
	others bool // a subvolume in no unit has it, too
}

func (s *Store) exclusiveUsage(st *state, units [][]string) ([]store.ExclusiveUsage, error) {
	unitOf := map[string]int{}
	for unit, paths := range units {
		for _, p := range paths {
			if _, err := s.lookup(st, p); err != nil {
				return nil, fmt.Errorf("%q: %w", p, err)
			}
			if other, ok := unitOf[p]; ok && other != unit {
				return nil, fmt.Errorf("%q is in two units", p)
			}
			unitOf[p] = unit
		}
	}
	contents := map[[sha256.Size]byte]*content{}
	for p := range st.Subvolumes {
		unit, ok := unitOf[p]
		err := s.walk(st, p, func(name string, info os.FileInfo, _ bool) error {
			if !info.Mode().IsRegular() {
				return nil
			}
			data, err := os.ReadFile(filepath.Join(s.Path(p), name))
			if err != nil {
				return err
			}
			c := contents[sha256.Sum256(data)]
			if c == nil {
				c = &content{bytes: uint64(len(data))}
				contents[sha256.Sum256(data)] = c
			}
			if !ok {
				c.others = true
			} else if !slices.Contains(c.units, unit) {
				c.units = append(c.units, unit)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return addUp(contents), nil
}

// addUp adds the sizes of all contents with the same set of units.
func addUp(contents map[[sha256.Size]byte]*content) []store.ExclusiveUsage {
	var shares []store.ExclusiveUsage
	for _, c := range contents {
		if c.others {
			continue
		}
		slices.Sort(c.units)
		i := slices.IndexFunc(shares, func(share store.ExclusiveUsage) bool { return slices.Equal(share.Units, c.units) })
		if i < 0 {
			i = len(shares)
			shares = append(shares, store.ExclusiveUsage{Units: c.units})
		}
		shares[i].Bytes += c.bytes
	}
	slices.SortFunc(shares, func(a, b store.ExclusiveUsage) int { return slices.Compare(a.Units, b.Units) })
	return shares
}
