package inroot_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/inroot"
)

// newRoot makes a root with an /etc, and a file beside the root.
func newRoot(t *testing.T) (root, outside string) {
	t.Helper()
	dir := t.TempDir()
	root, outside = filepath.Join(dir, "root"), filepath.Join(dir, "outside")
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, outside, "outside")
	return root, outside
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestReadFile(t *testing.T) {
	root, outside := newRoot(t)
	etc := filepath.Join(root, "etc")
	write(t, filepath.Join(etc, "fstab"), "inside")
	write(t, filepath.Join(root, "only-here"), "top")
	link(t, "fstab", filepath.Join(etc, "link"))
	link(t, "/etc", filepath.Join(root, "conf"))         // absolute: from the root
	link(t, "../../../..", filepath.Join(root, "above")) // ".." stays in the root
	link(t, filepath.Dir(outside), filepath.Join(root, "escape"))
	if err := unix.Mkfifo(filepath.Join(etc, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(etc, "huge"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(etc, "huge"), 17<<20); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, want string
		fails      bool
		is         error // "" for any
	}{
		{path: "/etc/fstab", want: "inside"},
		{path: "/conf/fstab", want: "inside"},
		{path: "/above/only-here", want: "top"},
		{path: "/etc/missing", fails: true, is: fs.ErrNotExist},
		{path: "/missing/file", fails: true, is: fs.ErrNotExist},
		{path: "/escape/outside", fails: true, is: fs.ErrNotExist},
		{path: "/etc/link", fails: true, is: unix.ELOOP},
		{path: "/etc/fifo", fails: true},
		{path: "/etc", fails: true},
		{path: "/etc/huge", fails: true},
	} {
		got, err := inroot.ReadFile(root, tt.path)
		if (err != nil) != tt.fails || string(got) != tt.want {
			t.Errorf("ReadFile(%s) = %q, %v, want %q", tt.path, got, err, tt.want)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("ReadFile(%s) = %v, want %v", tt.path, err, tt.is)
		}
	}
	if _, err := inroot.ReadFile(filepath.Join(root, "nowhere"), "/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadFile in no root = %v, want ErrNotExist", err)
	}
}

func upper(old []byte) ([]byte, bool, error) {
	data := bytes.ToUpper(old)
	return data, !bytes.Equal(old, data), nil
}

func TestEdit(t *testing.T) {
	root, outside := newRoot(t)
	file := filepath.Join(root, "etc", "fstab")
	write(t, file, "a line")
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(file, 7, 8); err != nil {
			t.Fatal(err)
		}
	}
	before := status(t, file)
	if err := inroot.Edit(root, "/etc/fstab", upper); err != nil {
		t.Fatal(err)
	}
	after := status(t, file)
	if after.Mode != before.Mode || after.Uid != before.Uid || after.Gid != before.Gid {
		t.Errorf("mode, owner and group are %o %d %d, want %o %d %d",
			after.Mode, after.Uid, after.Gid, before.Mode, before.Uid, before.Gid)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "A LINE" {
		t.Errorf("file holds %q, %v", got, err)
	}
	if err := inroot.Edit(root, "/etc/fstab", upper); err != nil {
		t.Fatal(err)
	}
	if again := status(t, file); again.Ino != after.Ino {
		t.Error("a file that did not change was written anew")
	}
	if err := inroot.Edit(root, "/etc/missing", upper); err != nil {
		t.Errorf("Edit of nothing = %v, want no error", err)
	}
	link(t, "../../outside", filepath.Join(root, "etc", "crypttab"))
	if err := inroot.Edit(root, "/etc/crypttab", upper); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Edit of a link = %v, want ELOOP", err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "outside" {
		t.Errorf("Edit reached a file outside: %q", got)
	}
	entries, err := os.ReadDir(filepath.Join(root, "etc"))
	if err != nil || len(entries) != 2 {
		t.Errorf("/etc holds %v, %v, want no temporary file", entries, err)
	}
}

func TestEditKeepsTheFileOnAnError(t *testing.T) {
	root, _ := newRoot(t)
	file := filepath.Join(root, "etc", "fstab")
	write(t, file, "old")
	failure := errors.New("cannot")
	err := inroot.Edit(root, "/etc/fstab", func([]byte) ([]byte, bool, error) { return []byte("new"), true, failure })
	if !errors.Is(err, failure) {
		t.Errorf("Edit = %v, want the error of change", err)
	}
	if got, _ := os.ReadFile(file); string(got) != "old" {
		t.Errorf("file holds %q, want the old content", got)
	}
}

func status(t *testing.T, path string) (st unix.Stat_t) {
	t.Helper()
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func TestOpen(t *testing.T) {
	root, outside := newRoot(t)
	write(t, filepath.Join(root, "etc/file"), "inside")
	link(t, "/etc/file", filepath.Join(root, "etc/link"))
	link(t, outside, filepath.Join(root, "etc/absolute"))
	link(t, "../../outside", filepath.Join(root, "etc/up"))
	if err := unix.Mkfifo(filepath.Join(root, "etc/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"etc/file", "/etc/file", "etc/link"} {
		f, err := inroot.Open(root, path)
		if err != nil {
			t.Errorf("Open(%s) = %v", path, err)
			continue
		}
		content, err := io.ReadAll(f)
		if f.Close(); err != nil || string(content) != "inside" {
			t.Errorf("%s holds %q, %v", path, content, err)
		}
	}
	for _, path := range []string{"etc/absolute", "etc/up", "../outside", "etc/none"} {
		if _, err := inroot.Open(root, path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%s) = %v, want ErrNotExist", path, err)
		}
	}
	for _, path := range []string{"etc", "etc/pipe"} {
		if _, err := inroot.Open(root, path); err == nil {
			t.Errorf("Open(%s) opened what is no file", path)
		}
	}
}

func TestEditOrMake(t *testing.T) {
	root, outside := newRoot(t)
	change := func(want string) func([]byte) ([]byte, bool, error) {
		return func(old []byte) ([]byte, bool, error) { return []byte(want), string(old) != want, nil }
	}
	file := filepath.Join(root, "etc/kernel/deep/install.conf")
	for _, want := range []string{"first", "second", "second"} {
		if err := inroot.EditOrMake(root, "/etc/kernel/deep/install.conf", change(want)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want {
			t.Errorf("file holds %q, %v, want %q", got, err, want)
		}
		if st := status(t, file); st.Mode != unix.S_IFREG|0o644 {
			t.Errorf("mode is %o", st.Mode)
		}
	}
	for range 2 {
		if err := inroot.EditOrMake(root, "etc/kernel/deep/install.conf", change("")); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an empty file stays: %v", err)
		}
	}
	if err := inroot.EditOrMake(root, "only-here", change("top")); err != nil {
		t.Error(err)
	}
	link(t, "/usr/lib", filepath.Join(root, "lib"))
	link(t, filepath.Dir(outside), filepath.Join(root, "escape"))
	link(t, "../../outside", filepath.Join(root, "etc/out"))
	for _, path := range []string{"lib/file", "escape/file", "etc/out"} {
		if err := inroot.EditOrMake(root, path, change("new")); err == nil {
			t.Errorf("%s was made through a link to nowhere", path)
		}
	}
	if entries, err := os.ReadDir(filepath.Dir(outside)); err != nil || len(entries) != 2 {
		t.Errorf("outside there are %v, %v", entries, err)
	}
}

func TestChmodAndLstat(t *testing.T) {
	root, outside := newRoot(t)
	write(t, filepath.Join(root, "etc/script"), "")
	link(t, "/etc", filepath.Join(root, "conf"))
	link(t, "script", filepath.Join(root, "etc/link"))
	link(t, filepath.Dir(outside), filepath.Join(root, "escape"))
	if err := inroot.Chmod(root, "/conf/script", 0o600); err != nil {
		t.Fatal(err)
	}
	if info, err := inroot.Lstat(root, "conf/script"); err != nil || info.Mode() != 0o600 {
		t.Errorf("Lstat = %v, %v", info, err)
	}
	if info, err := inroot.Lstat(root, "etc/link"); err != nil || info.Mode().Type() != fs.ModeSymlink {
		t.Errorf("Lstat of a link = %v, %v", info, err)
	}
	if err := inroot.Chmod(root, "etc/link", 0o644); !errors.Is(err, unix.ELOOP) {
		t.Errorf("Chmod of a link = %v, want ELOOP", err)
	}
	if err := inroot.Chmod(root, "etc", 0o700); err == nil {
		t.Error("Chmod of a directory")
	}
	if err := inroot.Chmod(root, "escape/outside", 0o600); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Chmod outside = %v, want ErrNotExist", err)
	}
	if _, err := inroot.Lstat(root, "escape/outside"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat outside = %v, want ErrNotExist", err)
	}
}
