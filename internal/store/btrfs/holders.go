//go:build cgo

package btrfs

import (
	"fmt"
	"slices"
	"sync"
)

// holders stands for a set of units that use an extent.
type holders uint32

const (
	nobody holders = iota
	others         // a user outside of all units, with or without units
)

// holderSets numbers sets of units. Several goroutines may use it at once.
type holderSets struct {
	mu     sync.Mutex
	sets   [][]int // by number: the units, ascending
	number map[string]holders
}

func newHolderSets() *holderSets {
	return &holderSets{sets: make([][]int, others+1), number: map[string]holders{}}
}

// of returns the number of a set of units, which must be sorted.
func (s *holderSets) of(units []int) holders {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprint(units)
	h, ok := s.number[name]
	if !ok {
		h = holders(len(s.sets))
		s.sets = append(s.sets, units)
		s.number[name] = h
	}
	return h
}

func (s *holderSets) units(h holders) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sets[h]
}

// unions joins sets, and remembers the results. It is for one goroutine.
type unions struct {
	sets  *holderSets
	known map[[2]holders]holders
}

func newUnions(sets *holderSets) *unions { return &unions{sets, map[[2]holders]holders{}} }

func (u *unions) union(a, b holders) holders {
	switch {
	case a == b || b == nobody:
		return a
	case a == nobody:
		return b
	case a == others || b == others:
		return others
	}
	h, ok := u.known[[2]holders{a, b}]
	if !ok {
		units := slices.Concat(u.sets.units(a), u.sets.units(b))
		slices.Sort(units)
		h = u.sets.of(slices.Compact(units))
		u.known[[2]holders{a, b}] = h
	}
	return h
}
