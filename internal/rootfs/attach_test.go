package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestAttach attaches a tree at a place of another tree, and a third one within it.
func TestAttach(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"root/opt", "root/opt/hidden", "opt/deep", "deep/file"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := filepath.Join(dir, "opt/text")
	if err := os.WriteFile(text, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := Open(filepath.Join(dir, "root"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for i, place := range []string{"opt", "opt/deep"} {
		if err := root.Attach(place, filepath.Join(dir, filepath.Base(place)), uint16(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]string{".": {"opt"}, "opt": {"deep", "text"}, "opt/deep": {"file"}, "opt/deep/none": nil} {
		if got, err := root.Names(name); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s holds %q, %v; want %q", name, got, err, want)
		}
	}
	inodes := map[uint64]string{}
	for _, name := range []string{".", "opt", "opt/deep", "opt/deep/file", "opt/text"} {
		node, err := root.Node(name)
		if err != nil || inodes[node.Inode] != "" {
			t.Errorf("%s is %+v, %v; %q has that inode", name, node, err, inodes[node.Inode])
		}
		inodes[node.Inode] = name
	}
	if got, err := root.ReadFile("opt/text"); err != nil || string(got) != "x" {
		t.Errorf("the text is %q, %v", got, err)
	}
	if got, err := root.ReadFile("opt/none"); err != nil || got != nil {
		t.Errorf("what is not there is %q, %v", got, err)
	}
	if _, err := root.ReadFile("opt/deep"); err == nil {
		t.Error("a directory was read")
	}
}
