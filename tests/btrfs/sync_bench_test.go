package btrfs_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/store/btrfs"
)

// BenchmarkSync measures apt-be sync as a process, including its syncfs(2). The cases:
// 100, 10,000 and 100,000 of 200,000 small files were changed or made, or 5 GiB were
// written to five large files. The benchmark also reports the shortest run and the least
// processor time, because other processes may be running.
func BenchmarkSync(b *testing.B) {
	const dirs, perDir = 2000, 100
	c := newCommandOn(b, 16<<30, func(s *btrfs.Store) {
		for i := range dirs {
			dir := s.Path(fmt.Sprintf("@rootfs/srv/d%d", i))
			storeMust(b, os.MkdirAll(dir, 0o755))
			for j := range perDir {
				storeMust(b, os.WriteFile(fmt.Sprintf("%s/f%d", dir, j), fmt.Appendf(nil, "%d %d", i, j), 0o644))
			}
		}
	})
	for _, changed := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint(changed), func(b *testing.B) {
			c.measureSync(b, func(round int) {
				for i := range changed {
					name := fmt.Sprintf("@rootfs/srv/d%d/f%d", i%dirs, i/dirs)
					if i%2 == 1 {
						name = fmt.Sprintf("@rootfs/srv/d%d/new%d-%d-%d", i%dirs, changed, round, i/dirs)
					}
					storeMust(b, os.WriteFile(c.store.Path(name), fmt.Appendf(nil, "%d %d", round, i), 0o644))
				}
			})
		})
	}
	b.Run("5GiB", func(b *testing.B) {
		storeMust(b, os.Mkdir(c.store.Path("@rootfs/srv/data"), 0o755))
		c.measureSync(b, func(round int) {
			size := int64(1 << 30)
			if round > 0 { // they have this size now
				size = 1 << 20
			}
			for i := range 5 {
				storeMust(b, appendRandom(c.store.Path(fmt.Sprintf("@rootfs/srv/data/%d", i)), size))
			}
		})
	})
}

// appendRandom appends random data, which no file system can compress.
func appendRandom(name string, size int64) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, size)
	return errors.Join(err, f.Close())
}

// measureSync makes an environment, changes files of the running system, and measures
// the sync.
func (c command) measureSync(b *testing.B, live func(round int)) {
	least, cpu := time.Duration(1<<63-1), time.Duration(1<<63-1)
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		c.run("create", "be")
		live(round)
		storeMust(b, c.store.Sync())
		sync := exec.Command(c.binary, "--root", c.root, "sync", "be")
		begun := time.Now()
		b.StartTimer()
		out, err := sync.CombinedOutput()
		b.StopTimer()
		if err != nil {
			b.Fatalf("apt-be sync: %v\n%s", err, out)
		}
		least = min(least, time.Since(begun))
		cpu = min(cpu, sync.ProcessState.UserTime()+sync.ProcessState.SystemTime())
		c.run("destroy", "be")
		b.StartTimer()
	}
	b.ReportMetric(float64(least.Milliseconds()), "least-ms")
	b.ReportMetric(float64(cpu.Milliseconds()), "processor-ms")
}
