package btrfs_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/predecompress"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// TestPredecompressMemoryLimit decompresses more packages than fit in the memory
// limit, while a slow dpkg unpacks one package after the other. Each decompressed
// package must be complete or absent.
func TestPredecompressMemoryLimit(t *testing.T) {
	loop.RequireRoot(t)
	const size, packages, content = 4 << 20, 40, 300 << 10
	dir := t.TempDir()
	room := filepath.Join(dir, "room")
	storeMust(t, os.Mkdir(room, 0o700))
	storeMust(t, unix.Mount("tmpfs", room, "tmpfs", 0, fmt.Sprintf("size=%d", size)))
	t.Cleanup(func() { storeMust(t, unix.Unmount(room, 0)) })
	backend := filepath.Join(dir, "backend")
	storeMust(t, os.WriteFile(backend, []byte("#!/bin/sh\ncat \"$2\" \"$2\" \"$2\"\n"), 0o755))
	var files []string
	for i := range packages {
		file := filepath.Join(dir, fmt.Sprintf("%d.deb", i))
		storeMust(t, os.WriteFile(file, bytes.Repeat([]byte{byte(i)}, content), 0o644))
		files = append(files, file)
	}
	large := filepath.Join(dir, "large.deb")
	storeMust(t, os.WriteFile(large, make([]byte, size), 0o644))
	files = append([]string{large}, files...)

	finished := make(chan error, 1)
	go func() {
		finished <- predecompress.Run(context.Background(), files, predecompress.Options{Dir: room, Backend: backend, Workers: 2})
	}()
	ready := 0
	for i, file := range files {
		place := filepath.Join(room, filepath.Base(file))
		for end := time.Now().Add(time.Second); time.Now().Before(end) && file != large; time.Sleep(time.Millisecond) {
			if _, err := os.Stat(place + ".tar"); err == nil {
				break
			}
		}
		got, err := os.ReadFile(place + ".tar")
		if err == nil {
			ready++
			if want := bytes.Repeat([]byte{byte(i - 1)}, 3*content); !bytes.Equal(got, want) {
				t.Errorf("%s: %d bytes, want %d", place, len(got), len(want))
			}
		}
		storeMust(t, os.WriteFile(place+".done", nil, 0o600))
	}
	storeMust(t, <-finished)
	if ready < packages/2 {
		t.Errorf("only %d of %d packages were ready", ready, packages)
	}
	entries, err := os.ReadDir(room)
	storeMust(t, err)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".part") || strings.HasPrefix(e.Name(), "large.deb.tar") {
			t.Errorf("%s is left", e.Name())
		}
	}
}
