package btrfs_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/apt-be/apt-be/internal/dedupe"
)

// BenchmarkDedupe measures a pass over a root of 50,000 files. An upgrade wrote a tenth
// of them again, half of those unchanged.
func BenchmarkDedupe(b *testing.B) {
	const dirs, perDir, size = 500, 100, 12_000
	path := func(i int) string { return fmt.Sprintf("usr/share/d%d/f%d", i/perDir, i%perDir) }
	u := newRewritten(b, "", func(root string) {
		for i := range dirs * perDir {
			rewrite(b, root, path(i), dedupeNoise(uint64(i), size))
		}
	})
	for name, written := range map[string]bool{"unchanged": false, "upgraded": true} {
		b.Run(name, func(b *testing.B) {
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				again := fmt.Sprintf("@be/%s%d", name, n)
				storeMust(b, u.store.Snapshot("@be-base/a", again, false))
				root, want := u.store.Path(again), 0
				for i := 0; written && i < dirs*perDir; i += 10 {
					data := dedupeNoise(uint64(i), size)
					if i%20 == 0 {
						data[size-1]++
					} else {
						want++
					}
					rewrite(b, root, path(i), data)
				}
				storeMust(b, u.store.Sync())
				b.StartTimer()
				report, err := dedupe.Run(context.Background(), u.base, root, dedupe.Options{})
				b.StopTimer()
				if err != nil || report.Shared.Files != want {
					b.Fatalf("%d files are shared, want %d, and %v", report.Shared.Files, want, err)
				}
				storeMust(b, u.store.Delete(again))
				b.StartTimer()
			}
		})
	}
}
