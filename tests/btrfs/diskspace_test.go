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

// filler is a file beside the subvolumes that occupies free space.
const filler = "filler"

// leave occupies all free space except a number of bytes.
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

// giveBack frees the space that leave occupies.
func (l lab) giveBack(t *testing.T) {
	t.Helper()
	if err := os.Remove(l.Path(filler)); err != nil {
		t.Fatal(err)
	}
	unix.Sync()
}

// testDiskSpace upgrades with little disk space. In each case the running root must be
// unchanged, and an upgrade must succeed after space was freed.
func testDiskSpace(t *testing.T, l lab) {
	t.Run("metadata", func(t *testing.T) { testMetadata(t, l.Recipe) })
	for _, c := range []struct {
		name    string
		archive packages.Variant
		leaves  uint64
		says    string // the beginning of the message
		options []string
	}{
		{"full from the start", packages.Good, 100 << 20, "cannot upgrade: the file system is too full: needs a reserve of 128 MiB; ", nil},
		{"does not fit", packages.Large, 1 << 30, "cannot upgrade: the file system is too full: needs about 3.", nil},
		{"does not fit, without speed", packages.Large, 1 << 30, "cannot upgrade: the file system is too full: needs about 3.", []string{"-o", "Apt-Be::Speed=no"}},
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
			if result.Status == 0 || !strings.Contains(said, "The result of the upgrade was deleted: the file system is too full") {
				t.Errorf("status %d:\n%s", result.Status, result.Output)
			}
			checkUntouched(t, m, before, mounts, f)
			checkNoEnvironment(t, l)
			l.giveBack(t)
			checkNextRun(t, l, m, "")
		})
	}
}

// checkOnlyWhatFits checks that every boot environment lacks the package that does not
// fit. unattended-upgrade upgrades package by package, in no fixed order, and stops at
// that package.
func checkOnlyWhatFits(t *testing.T, l lab, m *machine.Machine) {
	t.Helper()
	for _, e := range environments(t, m) {
		packages := record(t, l.Path("@be/"+e.Name), machine.Result{}).dpkg
		if e.State != "ready" || !slices.Contains(packages, "Package: bt-fault Status: install ok installed Version: 1.0") {
			t.Errorf("%s is %s, and has the packages\n%s", e.Name, e.State, strings.Join(packages, "\n"))
		}
	}
}

// testMetadata upgrades on file systems with free space for data and none for
// metadata, either from the start or from the middle of an upgrade.
func testMetadata(t *testing.T, release string) {
	l := fill(t, lab{machine.NewImageOf(t, 3<<29, release, plain)})
	for _, c := range []struct {
		name    string
		archive packages.Variant
		leaves  uint64
		says    string
		by      frontend
	}{
		{"full from the start", packages.Good, 28 << 20, "cannot upgrade: the file system is too full: needs a reserve of 32 MiB of metadata; ", frontends()[3]},
		{"full on the way", packages.Crowded, 40 << 20, "the file system is too full: needs a reserve of 32 MiB of metadata; ", frontends()[0]},
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

// crowd is a directory beside the subvolumes. Its files are so small that btrfs stores
// them in metadata.
const crowd = "crowd"

// leaveMetadata occupies all unallocated space, and all metadata space except a number
// of bytes. A fourth of the data space stays free.
func (l lab) leaveMetadata(t *testing.T, bytes uint64) {
	t.Helper()
	f, err := os.Create(l.Path(filler))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Separate extents, of which every fourth is freed. So each block group keeps some
	// data; the kernel would remove an empty block group.
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

// freeMetadata returns the free bytes in the metadata block groups, without the
// kernel's global reserve, from sysfs.
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
