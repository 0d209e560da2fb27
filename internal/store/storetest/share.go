package storetest

import (
	"math/rand/v2"
	"testing"

	"github.com/apt-be/apt-be/internal/store"
)

const mebibyte = 1 << 20

// writeMany writes a file of that many MiB, each with its own content.
func writeMany(t *testing.T, s store.Store, p string, mebibytes int) {
	t.Helper()
	data := make([]byte, mebibytes*mebibyte)
	rand.NewChaCha8([32]byte([]byte(p + "................................")[:32])).Read(data)
	write(t, s, p, string(data))
}

// shares returns the exclusive usage of units, if the store supports it.
func shares(t *testing.T, s store.Store, units ...[]string) []store.ExclusiveUsage {
	t.Helper()
	accountant, ok := s.(store.Accountant)
	if !ok {
		t.Fatalf("%T can't account for space", s)
	}
	check(t, s.Sync())
	found, err := accountant.ExclusiveUsage(units)
	check(t, err)
	return found
}

// checkFreed wants this many MiB, and up to one more for metadata.
func checkFreed(t *testing.T, what string, freed uint64, mebibytes uint64) {
	t.Helper()
	if freed < mebibytes*mebibyte || freed > (mebibytes+1)*mebibyte {
		t.Errorf("%s: %d bytes are freed, want %d MiB or a bit more", what, freed, mebibytes)
	}
}

func testShares(t *testing.T, s store.Store) {
	create(t, s, "@rootfs")
	writeMany(t, s, "@rootfs/etc/kept", 4)
	writeMany(t, s, "@rootfs/etc/deleted", 3)
	check(t, s.Snapshot("@rootfs", "@be-base/a", true))
	check(t, s.Snapshot("@be-base/a", "@be/a", false))
	a := []string{"@be/a", "@be-base/a"}
	checkFreed(t, "two equal ones", store.Freed(shares(t, s, a), 0), 0)

	writeMany(t, s, "@be/a/new", 8)
	create(t, s, "@be/a/nested")
	writeMany(t, s, "@be/a/nested/new", 2)
	checkFreed(t, "without what is nested", store.Freed(shares(t, s, a), 0), 8)
	a = append(a, "@be/a/nested")
	checkFreed(t, "with what is nested", store.Freed(shares(t, s, a), 0), 10)

	// A snapshot of it shares the new data. Both in one unit are freed together.
	check(t, s.Snapshot("@be/a", "@be-base/b", true))
	check(t, s.Snapshot("@be-base/b", "@be/b", false))
	writeMany(t, s, "@be/b/newer", 5)
	b := []string{"@be/b", "@be-base/b"}
	both := shares(t, s, a, b)
	checkFreed(t, "the origin", store.Freed(both, 0), 2)
	checkFreed(t, "the snapshot", store.Freed(both, 1), 5)
	checkFreed(t, "both", store.Freed(both, 0, 1), 15)
	checkFreed(t, "both as one", store.Freed(shares(t, s, append(a, b...)), 0), 15)

	// Data that other snapshots no longer use, and their own data.
	check(t, s.Delete("@rootfs"))
	both = shares(t, s, a, b)
	checkFreed(t, "both, without their origin", store.Freed(both, 0, 1), 22)
	check(t, s.Delete("@be/a"))
	check(t, s.Delete("@be-base/a"))
	checkFreed(t, "the last one", store.Freed(shares(t, s, b), 0), 20)
}

func testSharesErrors(t *testing.T, s store.Store) {
	create(t, s, "@a")
	write(t, s, "@a/dir/file", "x")
	accountant, ok := s.(store.Accountant)
	if !ok {
		t.Fatalf("%T can't account for space", s)
	}
	_, err := accountant.ExclusiveUsage([][]string{{"@nothing"}})
	checkIs(t, "Shares of nothing", err, store.ErrNotFound)
	_, err = accountant.ExclusiveUsage([][]string{{"@a/dir"}})
	checkIs(t, "Shares of a directory", err, store.ErrNotSubvolume)
	if _, err = accountant.ExclusiveUsage([][]string{{"@a"}, {"@a"}}); err == nil {
		t.Error("Shares takes a subvolume in two units")
	}
	if found, err := accountant.ExclusiveUsage(nil); err != nil || len(found) > 0 {
		t.Errorf("Shares of no unit = %v, %v", found, err)
	}
}
