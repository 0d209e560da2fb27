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

// cacheDir is the directory of the cached result. It is not on the btrfs itself, which
// each write would change.
const cacheDir = "/run/apt-be"

// cacheLimit is the maximum size of the cache to read, in bytes: it has some numbers
// for each set of units that shares space.
const cacheLimit = 64 << 20

// usageCache is a file with the last result of ExclusiveUsage. It may be deleted at any
// time.
type usageCache struct{ file string }

func (s *Store) usageCache() usageCache {
	return usageCache{filepath.Join(cacheDir, "space-"+s.FileSystemUUID()+".json")}
}

// cachedUsage is the content of the file.
type cachedUsage struct {
	Key    string // of the scene
	Shares []store.ExclusiveUsage
}

// read returns the result for a key. An unreadable cache counts as empty.
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

// write stores the result. If that fails, the next call counts again.
func (c usageCache) write(key string, shares []store.ExclusiveUsage) {
	data, err := json.Marshal(cachedUsage{key, shares})
	if err == nil && os.MkdirAll(filepath.Dir(c.file), 0o755) == nil {
		_ = durable.WriteFile(c.file, data, 0o600)
	}
}

// shareSchema is a part of the key, and changes with the method of counting.
const shareSchema = 1

// key identifies the scene. A reference to an extent changes only together with a
// subvolume, so the key contains the generations of all subvolumes.
func (sc *scene) key() string {
	sum := sha256.New()
	add := func(values ...uint64) {
		for _, value := range values {
			_ = binary.Write(sum, binary.LittleEndian, value) // a hash accepts all values
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
