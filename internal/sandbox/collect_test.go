package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestCollectOnlyRegularFilesInside(t *testing.T) {
	a, outside := newAssembler(t)
	run := filepath.Join(a.root, "run")
	check(t, os.Mkdir(run, 0o755))
	check(t, os.WriteFile(filepath.Join(run, "good"), []byte("yes"), 0o644))
	check(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("no"), 0o644))
	check(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(run, "link")))
	check(t, os.Symlink("../../outside", filepath.Join(run, "dir")))
	check(t, unix.Mkfifo(filepath.Join(run, "fifo"), 0o644))
	huge := filepath.Join(run, "huge")
	check(t, os.WriteFile(huge, nil, 0o644))
	check(t, os.Truncate(huge, 2*collectLimit))
	got := observed{}.collect(a.root, Spec{Collect: []string{
		"/run/good", "/run/link", "/run/dir/secret", "/run/fifo", "/run", "/run/none", "/run/huge", "/../../outside/secret",
	}})
	if string(got["/run/good"]) != "yes" || len(got["/run/huge"]) != collectLimit || len(got) != 2 {
		t.Errorf("collected are %d files, good is %q and huge has %d bytes", len(got), got["/run/good"], len(got["/run/huge"]))
	}
	nowhere, none := filepath.Join(a.root, "none"), Spec{Collect: []string{"/x"}, Spool: "/x"}
	if got := observe(nowhere, none).collect(nowhere, none); len(got) != 0 {
		t.Errorf("collected from nothing are %v", got)
	}
}

// Of logs, Collect returns the text that the run added. It returns a stamp only if the
// run wrote it.
func TestCollectNewText(t *testing.T) {
	a, _ := newAssembler(t)
	file := func(name string) string { return filepath.Join(a.root, name) }
	spec := Spec{
		Written: []string{"/untouched", "/rewritten", "/touched", "/new", "/gone"},
		Grown:   []string{"/still", "/longer", "/rotated", "/fresh"},
	}
	old := time.Now().Add(-time.Hour)
	for _, name := range []string{"/untouched", "/rewritten", "/touched", "/gone", "/still", "/longer", "/rotated"} {
		check(t, os.WriteFile(file(name), []byte("old\n"), 0o644))
		check(t, os.Chtimes(file(name), old, old))
	}
	before := observe(a.root, spec)
	check(t, os.WriteFile(file("/rewritten"), []byte("new\n"), 0o644))
	check(t, os.Chtimes(file("/touched"), old, time.Now()))
	check(t, os.WriteFile(file("/new"), nil, 0o644))
	check(t, os.Remove(file("/gone")))
	check(t, os.WriteFile(file("/longer"), []byte("old\nmore\n"), 0o644))
	check(t, os.Rename(file("/rotated"), file("/rotated.1")))
	check(t, os.WriteFile(file("/rotated"), []byte("another log\n"), 0o644))
	check(t, os.WriteFile(file("/fresh"), []byte("first\n"), 0o644))
	got := fmt.Sprintf("%q", before.collect(a.root, spec))
	want := fmt.Sprintf("%q", map[string]string{
		"/rewritten": "new\n", "/touched": "old\n", "/new": "",
		"/longer": "more\n", "/rotated": "another log\n", "/fresh": "first\n",
	})
	if got != want {
		t.Errorf("collected are %s, want %s", got, want)
	}
}

func TestSpooled(t *testing.T) {
	a, outside := newAssembler(t)
	spec := Spec{Spool: "/spool"}
	spool := filepath.Join(a.root, "spool")
	check(t, os.Mkdir(spool, 0o755))
	for i, name := range []string{"second", "first"} {
		check(t, os.WriteFile(filepath.Join(spool, name), []byte(name), 0o600))
		when := time.Unix(int64(100-i), 0)
		check(t, os.Chtimes(filepath.Join(spool, name), when, when))
	}
	check(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("no"), 0o644))
	check(t, os.Symlink(filepath.Join(outside, "secret"), filepath.Join(spool, "link")))
	check(t, unix.Mkfifo(filepath.Join(spool, "fifo"), 0o644))
	check(t, os.WriteFile(filepath.Join(spool, "huge"), nil, 0o644))
	check(t, os.Truncate(filepath.Join(spool, "huge"), spoolLimit+1))
	if got := fmt.Sprintf("%q", spooled(a.root, spec)); got != `["first" "second"]` {
		t.Errorf("spooled are %s", got)
	}
	for i := range 2 * spoolFiles {
		check(t, os.WriteFile(filepath.Join(spool, fmt.Sprint(i)), []byte("x"), 0o600))
	}
	if got := len(spooled(a.root, spec)); got > spoolFiles {
		t.Errorf("%d files are read", got)
	}
	// A directory that leads out of the root counts as missing.
	check(t, os.RemoveAll(spool))
	check(t, os.Symlink(outside, spool))
	if got := spooled(a.root, spec); len(got) > 0 {
		t.Errorf("spooled outside are %s", strings.Join(strings.Fields(fmt.Sprint(got)), " "))
	}
}
