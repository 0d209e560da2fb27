package be

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/apt-be/apt-be/internal/store"
)

// ErrNoAccounting reports that the store cannot compute exclusive usage.
var ErrNoAccounting = errors.New("the store cannot compute exclusive usage")

// Space computes the space that destroying environments would free.
type Space struct {
	shares []store.ExclusiveUsage
	units  map[string]int    // by the UUID of an environment's subvolume
	beside map[string]uint64 // by the same UUID: the bytes of its files outside of its subvolumes
}

// Space computes the usage of environments, each with its base, its nested subvolumes
// and its share snapshots. Data shared with other subvolumes does not count. It reads
// the metadata of all subvolumes, which can take seconds, and needs no lock. It returns
// ErrNoAccounting if the store cannot compute the usage.
func (r *Registry) Space(envs []Env) (*Space, error) {
	accountant, ok := r.store.(store.Accountant)
	if !ok {
		return nil, fmt.Errorf("cannot compute the disk usage of boot environments: %w", ErrNoAccounting)
	}
	space := &Space{units: map[string]int{}, beside: map[string]uint64{}}
	var units [][]string
	for _, e := range envs {
		paths, err := r.unit(e)
		if err != nil {
			return nil, fmt.Errorf("cannot compute the disk usage of %s: %w", e.Name, err)
		}
		space.units[e.Subvolume.UUID] = len(units)
		units = append(units, paths)
		for _, dir := range []string{ScratchDir(e.Subvolume.UUID), FailedDir(e.Subvolume.UUID), LogDir(e.Subvolume.UUID)} {
			space.beside[e.Subvolume.UUID] += sizeOf(r.store.Path(dir))
		}
	}
	var err error
	space.shares, err = accountant.ExclusiveUsage(units)
	return space, err
}

// unit lists the subvolumes that are destroyed with an environment. If the original
// root is the top level, all other subvolumes are nested in it, but do not belong to
// it.
func (r *Registry) unit(e Env) ([]string, error) {
	paths := []string{e.Subvolume.Path}
	base, err := r.baseOf(e)
	if err != nil {
		return nil, err
	}
	if base != "" {
		paths = append(paths, base)
	}
	past, err := r.ShareSnapshotsOf(e)
	if err != nil {
		return nil, err
	}
	for _, sub := range past {
		paths = append(paths, sub.Path)
	}
	if e.Subvolume.Path == "." {
		return paths, nil
	}
	for _, holder := range paths {
		nested, err := r.store.Nested(holder)
		if err != nil {
			return nil, err
		}
		for _, sub := range nested {
			paths = append(paths, sub.Path)
		}
	}
	return paths, nil
}

// Freed returns the bytes, on the devices, that destroying these environments and no
// others would free. Data stored twice counts twice.
func (s *Space) Freed(envs ...Env) uint64 {
	var units []int
	var freed uint64
	for _, e := range envs {
		if unit, ok := s.units[e.Subvolume.UUID]; ok && !slices.Contains(units, unit) {
			units = append(units, unit)
			freed += s.beside[e.Subvolume.UUID]
		}
	}
	return freed + store.Freed(s.shares, units...)
}

// Exclusive returns the exclusive usage in bytes of each of some subvolumes, and of all
// of them together. It needs no lock. It returns ErrNoAccounting if the store cannot
// compute the usage.
func (r *Registry) Exclusive(subs []store.Subvolume) (each []uint64, together uint64, err error) {
	accountant, ok := r.store.(store.Accountant)
	if !ok {
		return nil, 0, fmt.Errorf("cannot compute the disk usage of subvolumes: %w", ErrNoAccounting)
	}
	units := make([][]string, len(subs))
	all := make([]int, len(subs))
	for i, sub := range subs {
		units[i], all[i] = []string{sub.Path}, i
	}
	shares, err := accountant.ExclusiveUsage(units)
	if err != nil {
		return nil, 0, err
	}
	for i := range subs {
		each = append(each, store.Freed(shares, i))
	}
	return each, store.Freed(shares, all...), nil
}

// sizeOf returns the size in bytes of the readable files below dir.
func sizeOf(dir string) uint64 {
	var size uint64
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
			size += uint64(info.Size())
		}
		return nil
	})
	return size
}
