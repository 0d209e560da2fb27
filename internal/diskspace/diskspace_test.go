package diskspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/store"
)

const mib = 1 << 20

// on returns a file system with duplicate metadata, the default of mkfs.btrfs(8).
func on(data, metadata, spare uint64) store.Free {
	return store.Free{Data: data * mib, Metadata: metadata * mib, Spare: spare * mib, DataCopies: 1, MetadataCopies: 2}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name string
		need Estimate
		free store.Free
		want string // "" if it fits
	}{
		{"enough for nothing", Estimate{}, on(128, 32, 0), ""},
		{"data is short", Estimate{}, on(127, 1000, 0), "the file system is too full: needs a reserve of 128 MiB; 127 MiB free"},
		{"metadata is short", Estimate{}, on(1000, 10, 42), "the file system is too full: needs a reserve of 32 MiB of metadata; 31 MiB free"},
		{"the rest serves both", Estimate{}, on(0, 0, 128+2*32), ""},
		{"but not twice", Estimate{}, on(0, 0, 128), "the file system is too full: needs a reserve of 128 MiB; 64 MiB free"},
		{"an upgrade that fits", Estimate{Data: 900 * mib, Metadata: 8 * mib}, on(1028, 40, 0), ""},
		{"too much data", Estimate{Data: 2150 * mib}, on(900, 40, 0), "the file system is too full: needs about 2.1 GiB plus a reserve of 128 MiB; 900 MiB free"},
		{"too many files", Estimate{Data: mib, Metadata: 45 * mib}, on(900, 50, 0), "the file system is too full: needs about 45 MiB of metadata plus a reserve of 32 MiB; 50 MiB free"},
	} {
		got := ""
		if err := tt.need.Check(tt.free); err != nil {
			if got = err.Error(); !errors.Is(err, ErrNoSpace) {
				t.Errorf("%s: %v is not ErrNoSpace", tt.name, err)
			}
		}
		if got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

// TestForUpgrade uses a root in which all sizes are known.
func TestForUpgrade(t *testing.T) {
	root := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	list := ""
	for name, kib := range map[string]int{"known": 100, "foreign": 10, "linux-image-6.1": 5000, "linux-image-amd64": 12} {
		list += fmt.Sprintf("Package: %s\nVersion: 2\nArchitecture: amd64\nInstalled-Size: %d\n\n", name, kib)
	}
	write("var/lib/apt/lists/archive_Packages", list)
	write("var/lib/apt/lists/archive_Release", "Package: known\n")
	write("var/lib/dpkg/info/known.list", "/.\n/usr\n/usr/known\n")
	write("var/lib/dpkg/info/foreign:amd64.list", "/.\n")
	write("var/lib/dpkg/status", strings.Repeat("x", 1000))
	unlisted := write("unlisted.deb", strings.Repeat("x", 20000))
	archive := func(name string) Archive {
		return Archive{Binary: pkgdb.Binary{Package: name, Version: "2", Arch: "amd64"}, File: unlisted}
	}

	for _, tt := range []struct {
		what     string
		archives []Archive
		want     Estimate
	}{
		{"nothing", nil, Estimate{Data: 1000}},
		{"a package", []Archive{archive("known")}, Estimate{1000 + 100<<10 + 3*lastBlock, 3 * fileMetadata}},
		{"of an architecture", []Archive{archive("foreign")}, Estimate{1000 + 10<<10 + lastBlock, fileMetadata}},
		{"not in the list, and new", []Archive{archive("other")}, Estimate{1000 + 4*20000 + 3*lastBlock, 3 * fileMetadata}},
		{"a kernel, but no initrd", []Archive{archive("linux-image-6.1")}, Estimate{1000 + 5000<<10 + 157*lastBlock, 157 * fileMetadata}},
	} {
		got, err := ForUpgrade(root, tt.archives)
		if err != nil || got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v", tt.what, got, err, tt.want)
		}
	}

	write("boot/initrd.img-6.0", strings.Repeat("x", 7000))
	write("boot/initrd.img-5.0", "small")
	for name, initrds := range map[string]uint64{"linux-image-6.1": 2, "linux-image-amd64": 1} {
		with, err := ForUpgrade(root, []Archive{archive(name)})
		if err != nil {
			t.Fatal(err)
		}
		files := with.Metadata / fileMetadata
		kib := map[string]uint64{"linux-image-6.1": 5000, "linux-image-amd64": 12}[name]
		if want := 1000 + kib<<10 + files*lastBlock + initrds*7000; with.Data != want {
			t.Errorf("%s takes %d bytes, want %d: with %d initrds", name, with.Data, want, initrds)
		}
	}
}
