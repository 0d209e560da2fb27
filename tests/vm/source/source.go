// Package source provides packages for a machine of tests/vm: an archive on this host,
// which the machine reaches without any other network.
package source

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// Release is a release of Debian, as scripts/build-root names it.
type Release string

// The releases of the machines.
const (
	Oldstable Release = "oldstable"
	Stable    Release = "stable"
)

// here returns the directory tests/vm.
func here() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// Download returns the names of package files: the newest versions of the named
// packages in Debian's archive, and of all dependencies that a new machine lacks. A
// named package may be installed already. The files are kept in .cache/vm, so only the
// first call needs a network.
func Download(t guest.T, release Release, names ...string) []string {
	t.Helper()
	dir := output(t, exec.Command(filepath.Join(here(), "download"), append([]string{string(release)}, names...)...))
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(dir), "*.deb"))
	if err != nil {
		t.Fatalf("cannot list packages: %v", err)
	}
	return files
}

// Archive is an archive from which a machine can install until the test ends.
type Archive struct {
	dir string
	url string
}

// New returns an archive with package files.
func New(t guest.T, files ...string) *Archive {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-be-archive.")
	if err != nil {
		t.Fatalf("cannot make an archive: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	a := &Archive{dir: dir, url: guest.Serve(t, dir)}
	a.Add(t, files...)
	return a
}

// Add adds package files. The machine knows them after its next "apt-get update".
func (a *Archive) Add(t guest.T, files ...string) {
	t.Helper()
	for _, file := range files {
		name := filepath.Join(a.dir, filepath.Base(file))
		// A newer version may have the same name. The existing file is a link to the
		// cache and must not be overwritten.
		if err := os.Remove(name); err != nil && !os.IsNotExist(err) {
			t.Fatalf("cannot add to the archive: %v", err)
		}
		if os.Link(file, name) == nil {
			continue
		}
		data, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(name, data, 0o644)
		}
		if err != nil {
			t.Fatalf("cannot add to the archive: %v", err)
		}
	}
	for _, index := range []string{"packages", "release"} {
		command := exec.Command("apt-ftparchive", index, ".")
		command.Dir = a.dir
		text := output(t, command)
		name := strings.ToUpper(index[:1]) + index[1:]
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(text), 0o644); err != nil {
			t.Fatalf("cannot make an archive: %v", err)
		}
	}
}

// Line returns the archive's line for sources.list.
func (a *Archive) Line() string { return "deb [trusted=yes] " + a.url + " ./\n" }

// Use makes the archive the machine's only one, and updates its lists.
func (a *Archive) Use(t guest.T, g *guest.Guest) {
	t.Helper()
	g.WaitNetwork(t)
	g.Shell(t, "echo '"+strings.TrimSpace(a.Line())+"' >/etc/apt/sources.list && apt-get -q update")
}

// output runs a command and returns its output.
func output(t guest.T, command *exec.Cmd) string {
	t.Helper()
	var messages bytes.Buffer
	command.Stderr = &messages
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command.Path, err, messages.Bytes())
	}
	return string(out)
}
