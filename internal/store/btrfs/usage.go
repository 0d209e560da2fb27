//go:build cgo

package btrfs

// #include <linux/btrfs.h>
import "C"

import (
	"fmt"
	"runtime"
	"sync"
	"unsafe"

	"github.com/apt-be/apt-be/internal/store"
)

var _ store.Accountant = (*Store)(nil)

// ExclusiveUsage implements store.Accountant. It reads the whole extent tree once, and
// no files or quotas. So its time depends on the number of extents in the file system,
// not on the number of snapshots that share them. Quota groups are not sufficient, even
// if they are on: no group of a single subvolume has the space that only an environment
// and its base share.
//
// Data and the blocks of subvolumes are counted; see ownership for the exceptions. The
// part in the trees of checksums and extents is an estimate of about half a percent.
//
// The result is cached in /run until a subvolume changes.
func (s *Store) ExclusiveUsage(units [][]string) ([]store.ExclusiveUsage, error) {
	shares, err := s.exclusiveUsage(units)
	if err != nil {
		return nil, fmt.Errorf("cannot compute the exclusive usage on %s: %w", s.device, err)
	}
	return shares, nil
}

func (s *Store) exclusiveUsage(units [][]string) ([]store.ExclusiveUsage, error) {
	// The extent tree is complete only after a commit.
	if err := s.commit(); err != nil {
		return nil, err
	}
	scene, err := s.scene(units)
	if err != nil {
		return nil, err
	}
	cache := s.usageCache()
	key := scene.key()
	if shares, ok := cache.read(key); ok {
		return shares, nil
	}
	shares, err := scene.account(s)
	if err != nil {
		return nil, err
	}
	cache.write(key, shares)
	return shares, nil
}

// commit commits the running transaction, without dirty data that has no place on the
// device yet.
func (s *Store) commit() error {
	var transaction C.__u64
	err := ioctl(s.top, "BTRFS_IOC_START_SYNC", C.BTRFS_IOC_START_SYNC, unsafe.Pointer(&transaction))
	if err != nil {
		return err
	}
	return ioctl(s.top, "BTRFS_IOC_WAIT_SYNC", C.BTRFS_IOC_WAIT_SYNC, unsafe.Pointer(&transaction))
}

// scene has everything that the result depends on.
type scene struct {
	geometry geometry
	chunks   []chunk
	roots    []root
	units    map[uint64]int // by subvolume id
}

// scene reads the current state.
func (s *Store) scene(units [][]string) (*scene, error) {
	sc := &scene{units: map[uint64]int{}}
	for unit, paths := range units {
		for _, p := range paths {
			sub, err := s.get(p)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", p, err)
			}
			if other, ok := sc.units[sub.ID]; ok && other != unit {
				return nil, fmt.Errorf("%q is in two units", p)
			}
			sc.units[sub.ID] = unit
		}
	}
	var err error
	if sc.geometry, err = geometryOf(s.top); err != nil {
		return nil, err
	}
	if sc.chunks, err = chunks(s.top); err != nil {
		return nil, err
	}
	sc.roots, err = roots(s.top)
	return sc, err
}

// trees returns the owner of each subvolume.
func (sc *scene) trees(sets *holderSets) map[uint64]*tree {
	trees := map[uint64]*tree{}
	for _, r := range sc.roots {
		t := &tree{holders: others, made: r.made}
		if unit, ok := sc.units[r.id]; ok {
			t.holders = sets.of([]int{unit})
		} else if r.deleted {
			t.holders = nobody
		}
		trees[r.id] = t
	}
	return trees
}

// account reads the extent tree: metadata first, then data.
func (sc *scene) account(s *Store) ([]store.ExclusiveUsage, error) {
	var data, metadata []chunk
	for _, c := range sc.chunks {
		if c.metadata() {
			metadata = append(metadata, c)
		}
		if c.data() {
			data = append(data, c)
		}
	}
	var mu sync.Mutex
	var lists []blockList
	err := inParallel(metadata, func(c chunk) error {
		var list blockList
		err := s.extents(c, func(e *extent) error {
			if !e.data {
				list.add(e)
			}
			return nil
		})
		mu.Lock()
		defer mu.Unlock()
		lists = append(lists, list)
		return err
	})
	if err != nil {
		return nil, err
	}

	sets := newHolderSets()
	total := newTally(sc.geometry, metadata)
	owned := newOwnership(sc.trees(sets), lists, newUnions(sets), total.addBlock)
	err = inParallel(data, func(c chunk) error {
		part, u := newTally(sc.geometry, metadata), newUnions(sets)
		err := s.extents(c, func(e *extent) error {
			if e.data {
				part.addData(e, owned.of(e, u))
			}
			return nil
		})
		mu.Lock()
		defer mu.Unlock()
		total.join(part)
		return err
	})
	if err != nil {
		return nil, err
	}
	return total.shares(sets), nil
}

// extents calls emit for all extents in a chunk.
func (s *Store) extents(c chunk, emit func(*extent) error) error {
	reader := &extentReader{emit: emit, copies: c.copies}
	part := span{
		tree: extentTree,
		from: key{object: c.start},
		to:   key{c.start + c.size - 1, lastKey.kind, lastKey.offset},
	}
	if err := search(s.top, part, reader.item); err != nil {
		return err
	}
	return reader.flush()
}

// inParallel calls work for each chunk, on all processors, and returns the first error.
func inParallel(chunks []chunk, work func(chunk) error) error {
	queue := make(chan chunk)
	failed := make(chan error, runtime.GOMAXPROCS(0))
	for range cap(failed) {
		go func() {
			var first error
			for c := range queue {
				if first == nil {
					first = work(c)
				}
			}
			failed <- first
		}()
	}
	for _, c := range chunks {
		queue <- c
	}
	close(queue)
	var first error
	for range cap(failed) {
		if err := <-failed; first == nil {
			first = err
		}
	}
	return first
}
