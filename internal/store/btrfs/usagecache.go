//go:build cgo

package btrfs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/store"
)

// cacheDir is where what was found is kept. It is not in the file system itself:
// that would change by it.
const cacheDir = "/run/apt-be"

// cacheLimit is how much of it is read, in bytes: it holds some numbers for each
// set of units that shares something.
const cacheLimit = 64 << 20

// usageCache is a file that holds what Shares found last. It may go at any time.
type usageCache struct{ file string }

func (s *Store) usageCache() usageCache {
	return usageCache{filepath.Join(cacheDir, "space-"+s.FileSystemUUID()+".json")}
}

// cachedUsage is what the file holds.
type cachedUsage struct {
	Key    string // of the scene
	Shares []store.ExclusiveUsage
}

// read returns the shares that were kept under a key. What can't be read is as
// good as nothing.
func (c usageCache) read(key string) ([]store.ExclusiveUsage, bool) {
	data, err := regular.ReadFile(c.file, cacheLimit)
	if err != nil {
		return nil, false
	}
	var kept cachedUsage
	if json.Unmarshal(data, &kept) != nil || kept.Key != key {
		return nil, false
	}
	return kept.Shares, true
}

// write keeps shares. Where that can't be done, the next one counts again.
func (c usageCache) write(key string, shares []store.ExclusiveUsage) {
	data, err := json.Marshal(cachedUsage{key, shares})
	if err == nil && os.MkdirAll(filepath.Dir(c.file), 0o755) == nil {
		_ = durable.WriteFile(c.file, data, 0o600)
	}
}

// shareSchema goes into the key, and changes with how shares are counted.
const shareSchema = 1

// key stands for the scene. No reference to an extent can come or go without a
// change in some subvolume, and a change in any of them can be one of what a
// unit has: so the generations of all of them are in it.
func (sc *scene) key() string {
	sum := sha256.New()
	add := func(values ...uint64) {
		for _, value := range values {
			_ = binary.Write(sum, binary.LittleEndian, value) // a hash takes all
		}
	}
	add(shareSchema, sc.geometry.node, sc.geometry.sector, sc.geometry.checksum)
	for _, c := range sc.chunks {
		add(c.start, c.size, c.kind)
	}
	add(uint64(len(sc.roots)))
	for _, r := range sc.roots {
		add(r.id, r.made)
		if !r.deleted {
			add(r.generation)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(sc.units)) {
		add(id, uint64(sc.units[id]))
	}
	return hex.EncodeToString(sum.Sum(nil))
}
