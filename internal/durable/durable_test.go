package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/durable"
)

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "record")
	for _, tt := range []struct {
		content string
		mode    os.FileMode
	}{{"first", 0o644}, {"second, longer", 0o600}, {"", 0o640}} {
		if err := durable.WriteFile(file, []byte(tt.content), tt.mode); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != tt.content {
			t.Errorf("file holds %q, %v, want %q", got, err, tt.content)
		}
		if info, err := os.Stat(file); err != nil || info.Mode() != tt.mode {
			t.Errorf("mode is %v, %v, want %v", info.Mode(), err, tt.mode)
		}
	}
	checkEntries(t, dir, "record")
}

func TestWriteFileReplacesALinkAndNotItsTarget(t *testing.T) {
	dir := t.TempDir()
	target, link := filepath.Join(dir, "target"), filepath.Join(dir, "link")
	if err := os.WriteFile(target, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("target", link); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(link, []byte("new"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "old" {
		t.Errorf("target holds %q, %v, want the old content", got, err)
	}
}

func TestWriteFileFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := durable.WriteFile(taken, []byte("x"), 0o644); err == nil {
		t.Error("WriteFile replaced a directory")
	}
	checkEntries(t, dir, "taken")
	err := durable.WriteFile(filepath.Join(dir, "missing", "file"), nil, 0o644)
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteFile in a missing directory = %v, want ErrNotExist", err)
	}
}

func TestRemove(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time the file does not exist
		if err := durable.Remove(file); err != nil {
			t.Errorf("Remove = %v", err)
		}
	}
	checkEntries(t, dir)
	if err := os.MkdirAll(filepath.Join(dir, "full", "child"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := durable.Remove(filepath.Join(dir, "full")); err == nil {
		t.Error("Remove removed a directory that is not empty")
	}
}

func TestSyncDir(t *testing.T) {
	if err := durable.SyncDir(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := durable.SyncDir(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("SyncDir of nothing = %v, want ErrNotExist", err)
	}
}

func TestIsTemporary(t *testing.T) {
	for name, want := range map[string]bool{".tmp-record.json-123": true, "record.json": false, ".tmp": false, "x.tmp-": false} {
		if got := durable.IsTemporary(name); got != want {
			t.Errorf("IsTemporary(%q) = %v", name, got)
		}
	}
}

func checkEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) {
		t.Fatalf("directory holds %v, want %q", entries, want)
	}
	for i, entry := range entries {
		if entry.Name() != want[i] {
			t.Errorf("directory holds %v, want %q", entries, want)
		}
	}
}
