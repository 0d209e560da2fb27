package btrfs_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// filler is a file beside the subvolumes that takes what room there is.
const filler = "filler"

// leave takes all room but so many bytes.
func (l lab) leave(t *testing.T, bytes uint64) {
	t.Helper()
	f, err := os.Create(l.Path(filler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var stat unix.Statfs_t
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fstatfs(int(f.Fd()), &stat); err != nil {
		t.Fatal(err)
	}
	available := stat.Bavail * uint64(stat.Bsize)
	if available < bytes {
		t.Fatalf("there are only %d bytes to leave %d", available, bytes)
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, int64(available-bytes)); err != nil {
		t.Fatal(err)
	}
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		t.Fatal(err)
	}
}

// giveBack undoes leave.
func (l lab) giveBack(t *testing.T) {
	t.Helper()
	if err := os.Remove(l.Path(filler)); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
}

// testRoom upgrades where there is little room. Whatever comes of it, the running
// root is what it was, and once there is room an upgrade comes to a good end.
func testRoom(t *testing.T, l lab) {
	t.Run("metadata", func(t *testing.T) { testMetadata(t, l.Recipe) })
	for _, c := range []struct {
		name    string
		archive packages.Variant
		leaves  uint64
		says    string // the beginning of what is said
		options []string
	}{
		{"full from the start", packages.Good, 100 << 20, "cannot upgrade: the file system is too full: 128 MiB to be left, ", nil},
		{"does not fit", packages.Large, 1 << 30, "cannot upgrade: the file system is too full: about 3.", nil},
		{"does not fit, without speed", packages.Large, 1 << 30, "cannot upgrade: the file system is too full: about 3.", []string{"-o", "Apt-Be::Speed=no"}},
	} {
		for _, f := range frontends() {
			if c.options != nil && f.name != "apt-get dist-upgrade" {
				continue
			}
			t.Run(c.name+"/"+f.name, func(t *testing.T) {
				m := l.system(t, with, running, c.archive)
				defer l.done(t, m)
				before, mounts := m.Fingerprint(t), m.Mounts(t)
				l.leave(t, c.leaves)
				command := f.quiet()
				command.Args = append(command.Args, c.options...)
				result := m.Run(t, command)
				t.Log(result.Output)
				checkStops(t, result, f, c.says, "apt-be list -s")
				checkUntouched(t, m, before, mounts, f)
				if f.command == "unattended-upgrade" {
					checkOnlyWhatFits(t, l, m)
				} else {
					checkNoEnvironment(t, l)
				}
				l.giveBack(t)
				checkNextRun(t, l, m, "")
			})
		}
	}
	for _, f := range frontends() {
		t.Run("full on the way/"+f.name, func(t *testing.T) {
			m := l.system(t, with, running, packages.Hungry)
			defer l.done(t, m)
			before, mounts := m.Fingerprint(t), m.Mounts(t)
			l.leave(t, 400<<20)
			result := m.Run(t, f.quiet())
			t.Log(result.Output)
			said := strings.ReplaceAll(result.Output, "\napt-be: ", " ")
			if result.Status == 0 || !strings.Contains(said, "What the upgrade left is removed: the file system is too full") {
				t.Errorf("status %d:\n%s", result.Status, result.Output)
			}
			checkUntouched(t, m, before, mounts, f)
			checkNoEnvironment(t, l)
			l.giveBack(t)
			checkNextRun(t, l, m, "")
		})
	}
}

// checkOnlyWhatFits finds no boot environment but one that lacks the package that
// does not fit: unattended-upgrade goes by package, in no fixed order, and stops at
// that one.
func checkOnlyWhatFits(t *testing.T, l lab, m *machine.Machine) {
	t.Helper()
	for _, e := range environments(t, m) {
		packages := record(t, l.Path("@be/"+e.Name), machine.Result{}).dpkg
		if e.State != "ready" || !slices.Contains(packages, "Package: bt-fault Status: install ok installed Version: 1.0") {
			t.Errorf("%s is %s, and has the packages\n%s", e.Name, e.State, strings.Join(packages, "\n"))
		}
	}
}

// testMetadata has file systems whose data have room, and whose metadata have
// not: from the start, or in the middle of an upgrade.
func testMetadata(t *testing.T, release string) {
	l := fill(t, lab{machine.NewImageOf(t, 3<<29, release, plain)})
	for _, c := range []struct {
		name    string
		archive packages.Variant
		leaves  uint64
		says    string
		by      frontend
	}{
		{"full from the start", packages.Good, 28 << 20, "cannot upgrade: the file system is too full: 32 MiB of metadata to be left, ", frontends()[3]},
		{"full on the way", packages.Crowded, 40 << 20, "the file system is too full: 32 MiB of metadata to be left, ", frontends()[0]},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := l.system(t, with, running, c.archive)
			defer l.done(t, m)
			before, mounts := m.Fingerprint(t), m.Mounts(t)
			l.leaveMetadata(t, c.leaves)
			result := m.Run(t, c.by.quiet())
			t.Log(result.Output)
			said := strings.ReplaceAll(result.Output, "\napt-be: ", " ")
			if result.Status == 0 || !strings.Contains(said, c.says) || !strings.Contains(said, "apt-be list -s") {
				t.Errorf("status %d, want %q:\n%s", result.Status, c.says, result.Output)
			}
			checkUntouched(t, m, before, mounts, c.by)
			checkNoEnvironment(t, l)
			if err := os.RemoveAll(l.Path(crowd)); err != nil {
				t.Fatal(err)
			}
			l.giveBack(t)
			checkNextRun(t, l, m, "")
		})
	}
}

// crowd is a directory beside the subvolumes, of files that are so small that
// they are in metadata.
const crowd = "crowd"

// leaveMetadata takes all that is not set aside for data or metadata, and all
// metadata but so many bytes. A fourth of the data stays free.
func (l lab) leaveMetadata(t *testing.T, bytes uint64) {
	t.Helper()
	f, err := os.Create(l.Path(filler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Extents of their own, of which every fourth is given back: so something
	// stays of each block group, since an empty one goes.
	const extent = 1 << 20
	end := int64(0)
	for ; err == nil; end += extent {
		err = unix.Fallocate(int(f.Fd()), 0, end, extent)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	for at := int64(0); at < end; at += 4 * extent {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, extent); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(l.Path(crowd), 0o755); err != nil {
		t.Fatal(err)
	}
	small := []byte(strings.Repeat("x", 2000))
	for n := 0; ; n++ {
		if n%500 == 0 {
			if err := unix.Syncfs(int(f.Fd())); err != nil {
				t.Fatal(err)
			}
			if l.freeMetadata(t) <= bytes {
				return
			}
		}
		if err := os.WriteFile(l.Path(filepath.Join(crowd, strconv.Itoa(n))), small, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// freeMetadata is how much of what is set aside for metadata is free, beyond the
// kernel's own reserve, as sysfs(5) tells.
func (l lab) freeMetadata(t *testing.T) uint64 {
	t.Helper()
	found, err := filepath.Glob("/sys/fs/btrfs/*/devices/" + filepath.Base(l.Device()))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s is in the file systems %q, %v", l.Device(), found, err)
	}
	read := func(name string) uint64 {
		data, err := os.ReadFile(filepath.Join(found[0], "../../allocation", name))
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(strings.TrimSpace(string(data)), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return read("metadata/total_bytes") - min(read("metadata/total_bytes"), read("metadata/bytes_used")+read("global_rsv_size"))
}
