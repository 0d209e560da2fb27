package btrfs_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// bigRoot makes @rootfs with 20,000 files and three nested subvolumes.
func bigRoot(b *testing.B) (*btrfs.Store, *loop.Image) {
	b.Helper()
	s, image := newStore(b, 4<<30)
	storeMust(b, s.Create("@rootfs"))
	fillBigRoot(b, s)
	storeMust(b, s.Sync())
	return s, image
}

func fillBigRoot(b *testing.B, s *btrfs.Store) {
	b.Helper()
	for dir := range 200 {
		name := s.Path(fmt.Sprintf("@rootfs/usr/share/d%d", dir))
		storeMust(b, os.MkdirAll(name, 0o755))
		for file := range 100 {
			storeMust(b, os.WriteFile(fmt.Sprintf("%s/f%d", name, file), nil, 0o644))
		}
	}
	for _, p := range []string{"var/lib/machines", "var/lib/machines/m", "var/lib/portables"} {
		storeMust(b, s.Create("@rootfs/"+p))
	}
}

func BenchmarkNested(b *testing.B) {
	s, _ := bigRoot(b)
	for b.Loop() {
		found, err := s.Nested("@rootfs")
		if err != nil || len(found) != 3 {
			b.Fatalf("Nested = %+v, %v", found, err)
		}
	}
}

func BenchmarkSnapshot(b *testing.B) {
	s, _ := bigRoot(b)
	for i := 0; b.Loop(); i++ {
		storeMust(b, s.Snapshot("@rootfs", fmt.Sprintf("@be/%d", i), false))
	}
}

func BenchmarkDelete(b *testing.B) {
	s, _ := bigRoot(b)
	for b.Loop() {
		b.StopTimer()
		storeMust(b, s.Snapshot("@rootfs", "@be/a", false))
		storeMust(b, s.Create("@be/a/nested/one"))
		storeMust(b, s.SetReadOnly("@be/a", true))
		b.StartTimer()
		storeMust(b, s.Delete("@be/a"))
	}
}
