package btrfs_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// manyEnvironments makes ten environments of 50,000 files, each with a base. In each
// it rewrites a number of files (changed).
func manyEnvironments(b *testing.B, changed int) (*btrfs.Store, [][]string) {
	b.Helper()
	s, _ := newStore(b, 16<<30)
	content := bytes.Repeat([]byte("boot environment"), 320) // 5 KiB: not inline
	write := func(root string, files int) {
		for i := range files {
			storeMust(b, os.WriteFile(s.Path(fmt.Sprintf("%s/usr/share/d%d/f%d", root, i%500, i)), content, 0o644))
		}
		storeMust(b, s.Sync())
	}
	storeMust(b, s.Create(running))
	for dir := range 500 {
		storeMust(b, os.MkdirAll(s.Path(fmt.Sprintf("%s/usr/share/d%d", running, dir)), 0o755))
	}
	write(running, 50000)
	var units [][]string
	for i := range 10 {
		name := fmt.Sprint(i)
		storeMust(b, s.Snapshot(running, "@be-base/"+name, true))
		storeMust(b, s.Snapshot("@be-base/"+name, "@be/"+name, false))
		write("@be/"+name, changed)
		units = append(units, unitsOf(name)...)
	}
	return s, units
}

// benchmarkSpace measures the computation of the exclusive usage of ten environments.
// It calls prepare before each measurement, outside of the measured time.
func benchmarkSpace(b *testing.B, changed int, prepare func(s *btrfs.Store, cache string)) {
	s, units := manyEnvironments(b, changed)
	cache := shareCacheOf(s)
	if _, err := s.ExclusiveUsage(units); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		prepare(s, cache)
		b.StartTimer()
		shares, err := s.ExclusiveUsage(units)
		if err != nil || len(shares) == 0 {
			b.Fatalf("Shares = %v, %v", shares, err)
		}
	}
}

// BenchmarkSpaceCold measures the first computation. The file system is in memory.
func BenchmarkSpaceCold(b *testing.B) {
	for _, changed := range []int{10000, 50000} {
		b.Run(fmt.Sprint(changed), func(b *testing.B) {
			benchmarkSpace(b, changed, func(_ *btrfs.Store, cache string) { os.Remove(cache) })
		})
	}
}

// BenchmarkSpaceWarm measures the computation if nothing has changed since the last one.
func BenchmarkSpaceWarm(b *testing.B) {
	benchmarkSpace(b, 10000, func(*btrfs.Store, string) {})
}

// BenchmarkSpaceBusy measures the computation while files of the running system change.
func BenchmarkSpaceBusy(b *testing.B) {
	n := 0
	benchmarkSpace(b, 10000, func(s *btrfs.Store, _ string) {
		n++
		storeMust(b, os.WriteFile(s.Path(running+"/log"), []byte(fmt.Sprint(n)), 0o644))
	})
}
