package btrfs_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// BenchmarkDrift finds 100 changed files among 200,000. It reports the time as a
// fraction of the time of a comparison of the whole trees, both with warm caches.
func BenchmarkDrift(b *testing.B) {
	const dirs, perDir, changed = 2000, 100, 100
	s, _ := newStore(b, 8<<30)
	storeMust(b, s.Create("root"))
	storeMust(b, os.MkdirAll(s.Path("root/etc"), 0o755))
	for i := range dirs {
		dir := s.Path(fmt.Sprintf("root/d%d", i))
		storeMust(b, os.Mkdir(dir, 0o755))
		for j := range perDir {
			storeMust(b, os.WriteFile(fmt.Sprintf("%s/f%d", dir, j), fmt.Appendf(nil, "%d %d", i, j), 0o644))
		}
	}
	storeMust(b, s.Snapshot("root", "base", true))
	storeMust(b, s.Snapshot("base", "be", false))
	for i := range changed {
		storeMust(b, os.WriteFile(s.Path(fmt.Sprintf("root/d%d/f7", i*dirs/changed)), []byte("changed"), 0o644))
	}
	be, err := s.Get("be")
	storeMust(b, err)
	sides := drift.Sides{Base: "base", Running: "root", Target: "be", ForkGeneration: be.OTransID}

	whole := func() (differ int) {
		before, err := rootfs.Open(s.Path("base"))
		storeMust(b, err)
		defer before.Close()
		after, err := rootfs.Open(s.Path("root"))
		storeMust(b, err)
		defer after.Close()
		storeMust(b, merge.Compare(before, after, rootfs.Same, func(merge.Difference) error { differ++; return nil }))
		return differ
	}
	if n := whole(); n != changed { // so that the caches are warm
		b.Fatalf("%d files differ", n)
	}
	begun := time.Now()
	whole()
	all := time.Since(begun)
	for b.Loop() {
		d, err := drift.Find(s, sides, merge.DefaultRules())
		storeMust(b, err)
		if len(d.Changes) != changed {
			b.Fatalf("%d files changed", len(d.Changes))
		}
	}
	b.ReportMetric(float64(all.Milliseconds()), "whole-ms")
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(all), "of-whole")
}
