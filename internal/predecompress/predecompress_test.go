package predecompress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fixture has package files, a directory for results, and a backend that prints the
// content of a package three times, or fails if it contains "bad".
type fixture struct {
	dir, ready, backend string
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	dir := t.TempDir()
	f := fixture{dir: dir, ready: filepath.Join(dir, "ready"), backend: filepath.Join(dir, "backend")}
	check(t, os.Mkdir(f.ready, 0o700))
	check(t, os.WriteFile(f.backend, []byte(`#!/bin/sh
[ "$1" = --fsys-tarfile ] || exit 2
cat "$2" "$2" "$2"
! grep -q bad "$2"
`), 0o755))
	return f
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (f fixture) pkg(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(f.dir, name)
	check(t, os.MkdirAll(filepath.Dir(path), 0o755))
	check(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func (f fixture) run(ctx context.Context, packages ...string) error {
	return Run(ctx, packages, Options{Dir: f.ready, Backend: f.backend, Workers: 2})
}

func (f fixture) names(t *testing.T) []string {
	t.Helper()
	entries, err := os.ReadDir(f.ready)
	check(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestRun(t *testing.T) {
	f := newFixture(t)
	var packages []string
	for i := range 20 {
		packages = append(packages, f.pkg(t, fmt.Sprintf("p%d.deb", i), fmt.Sprintf("content %d;", i)))
	}
	check(t, f.run(context.Background(), packages...))
	for i, pkg := range packages {
		place := filepath.Join(f.ready, filepath.Base(pkg))
		if target, err := os.Readlink(place); err != nil || target != pkg {
			t.Errorf("%s leads to %q, %v", place, target, err)
		}
		part := fmt.Sprintf("content %d;", i)
		if got, err := os.ReadFile(place + ready); err != nil || string(got) != part+part+part {
			t.Errorf("%s holds %q, %v", place+ready, got, err)
		}
		if exists(place + part) {
			t.Errorf("%s is still there", place+part)
		}
	}
}

func TestUnsupportedRequests(t *testing.T) {
	f := newFixture(t)
	bad := f.pkg(t, "bad.deb", "this is bad")
	done := f.pkg(t, "done.deb", "x")
	check(t, os.WriteFile(filepath.Join(f.ready, "done.deb.done"), nil, 0o600))
	one, other := f.pkg(t, "a/same.deb", "a"), f.pkg(t, "b/same.deb", "b")
	busy := f.pkg(t, "busy.deb", "x")
	check(t, os.WriteFile(filepath.Join(f.ready, "busy.deb.part"), nil, 0o600))
	check(t, f.run(context.Background(), bad, filepath.Join(f.dir, "missing.deb"), done, one, other, busy))
	want := []string{"bad.deb", "busy.deb", "busy.deb.part", "done.deb", "done.deb.done", "missing.deb"}
	if got := f.names(t); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// TestPartialResultIsHidden reads each package like the stand-in for dpkg-deb while the
// package is being written.
func TestPartialResultIsHidden(t *testing.T) {
	f := newFixture(t)
	check(t, os.WriteFile(f.backend, []byte("#!/bin/sh\n[ \"$1\" = --fsys-tarfile ] || exit 2\necho half; sleep 0.2; echo whole\n"), 0o755))
	pkg := f.pkg(t, "p.deb", "x")
	place := filepath.Join(f.ready, "p.deb")
	finished := make(chan error)
	go func() { finished <- f.run(context.Background(), pkg) }()
	for !exists(place + part) {
		time.Sleep(time.Millisecond)
	}
	if exists(place + ready) {
		t.Error("it is ready before it is whole")
	}
	writing, err := os.Open(place + part)
	check(t, err)
	defer writing.Close()
	check(t, unix.Flock(int(writing.Fd()), unix.LOCK_SH))
	if got, err := os.ReadFile(place + ready); err != nil || string(got) != "half\nwhole\n" {
		t.Errorf("after the wait it holds %q, %v", got, err)
	}
	check(t, <-finished)
}

func TestRunIsCancelled(t *testing.T) {
	f := newFixture(t)
	check(t, os.WriteFile(f.backend, []byte("#!/bin/sh\n[ \"$1\" = --fsys-tarfile ] || exit 2\nexec sleep 100\n"), 0o755))
	ctx, cancel := context.WithCancel(context.Background())
	finished := make(chan error)
	go func() { finished <- f.run(ctx, f.pkg(t, "p.deb", "x")) }()
	for !exists(filepath.Join(f.ready, "p.deb"+part)) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-finished; !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, context.Canceled)
	}
	if got := f.names(t); !slices.Equal(got, []string{"p.deb"}) {
		t.Errorf("there are %q", got)
	}
}
