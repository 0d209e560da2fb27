// Package preload_test tests skip-unchanged.so of dpkgpatch/preload: in a program that
// makes calls that dpkg never makes, and with a C library that fails.
package preload_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/loop"
)

// bench is a btrfs file system and the files that were compiled for the tests.
type bench struct {
	mount   string // of the file system
	library string // skip-unchanged.so
	faults  string // the library with faults
	writer  string // testdata/writer.c, under the name of dpkg
	foreign string // the same, importing writev
	other   string // writer under another name
}

// build compiles everything, and mounts a new file system.
func build(t *testing.T) bench {
	t.Helper()
	dir, err := filepath.Abs("../../../dpkgpatch/preload")
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	b := bench{
		mount:   t.TempDir(),
		library: filepath.Join(out, "skip-unchanged.so"),
		faults:  filepath.Join(out, "fault.so"),
		writer:  filepath.Join(out, "writer", "dpkg"),
		foreign: filepath.Join(out, "foreign", "dpkg"),
		other:   filepath.Join(out, "writer", "other"),
	}
	for _, name := range []string{b.writer, b.foreign} {
		if err := os.Mkdir(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run(t, "make", "-s", "-C", dir, "OUT="+out)
	run(t, "gcc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", b.faults, "testdata/fault.c")
	run(t, "gcc", "-O2", "-Wall", "-Werror", "-o", b.writer, "testdata/writer.c")
	run(t, "gcc", "-O2", "-Wall", "-Werror", "-DIMPORT_WRITEV", "-o", b.foreign, "testdata/writer.c")
	if err := os.Link(b.writer, b.other); err != nil {
		t.Fatal(err)
	}
	loop.Create(t, 512<<20).Mount(t, b.mount, "")
	return b
}

// run runs a command that has to succeed, and returns its standard output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	command := exec.Command(name, args...)
	command.Stderr = os.Stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("cannot run %s %q: %v", name, args, err)
	}
	return string(out)
}
