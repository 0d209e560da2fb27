package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Space is the used space of a btrfs file system in bytes, each copy counted once.
type Space struct{ Data, Metadata int64 }

// parseSpace reads the output of "btrfs filesystem df -b".
func parseSpace(text string) (Space, error) {
	var s Space
	for _, line := range strings.Split(text, "\n") {
		kind, _, _ := strings.Cut(line, ",")
		_, used, ok := strings.Cut(line, "used=")
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(used), 10, 64)
		if err != nil {
			return Space{}, fmt.Errorf("cannot read the space in use: %w", err)
		}
		switch kind {
		case "Data":
			s.Data += n
		case "Metadata":
			s.Metadata += n
		}
	}
	if s == (Space{}) {
		return Space{}, fmt.Errorf("cannot read the space in use from %q", text)
	}
	return s, nil
}

// written returns the number of bytes written to a block device since it was created
// (/sys/block/NAME/stat, in sectors of 512 bytes).
func written(device string) (int64, error) {
	data, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "stat"))
	if err != nil {
		return 0, fmt.Errorf("cannot read what was written: %w", err)
	}
	fields := strings.Fields(string(data))
	if len(fields) < 7 {
		return 0, fmt.Errorf("cannot read what was written from %q", data)
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot read what was written: %w", err)
	}
	return sectors * 512, nil
}

// syncFS writes all data of the file system that contains a file.
func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot sync: %w", err)
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return fmt.Errorf("cannot sync %s: %w", path, err)
	}
	return nil
}
