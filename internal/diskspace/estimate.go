package diskspace

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/regular"
)

// Archive is the file of a package that will be unpacked.
type Archive struct {
	pkgdb.Binary
	File string
}

// What is not known of a package.
const (
	// fileMetadata is what a file takes besides its contents, in bytes. An
	// upgrade from one release to the next took 1.5 KiB for each of 40,000.
	fileMetadata = 2 << 10
	// lastBlock is what is empty of the last block of a file, on average:
	// Installed-Size counts in KiB, a file system in blocks of 4.
	lastBlock = 2 << 10
	// fileSize is how large files are, on average, in bytes, where it is not
	// known how many there are: smaller than the 45 KiB of that upgrade.
	fileSize = 32 << 10
	// inflated is how many times as large as its file a package is whose size
	// no list tells. Most of Debian's are three to four times as large.
	inflated = 4
)

// kernel is the name of a package with a kernel; others only depend on one.
var kernel = regexp.MustCompile(`^linux-image-[0-9]`)

// ForUpgrade tells what it takes to unpack packages in a root, and to make an
// initramfs of each kernel among them and of one more. Nothing of what they
// replace counts: the system that was snapshotted still has that.
func ForUpgrade(root string, archives []Archive) (Estimate, error) {
	sizes, err := installedSizes(root, archives)
	if err != nil {
		return Estimate{}, err
	}
	need := Estimate{Data: rewritten(root)}
	initramfs, largest := uint64(0), largest(filepath.Join(root, "boot/initrd.img-*"))
	if largest > 0 {
		initramfs = 1
	}
	for _, archive := range archives {
		bytes, known := sizes[archive.Binary]
		if !known {
			bytes = inflated * sizeOf(archive.File)
		}
		files := installedFiles(root, archive.Binary)
		if files == 0 {
			files = 1 + bytes/fileSize
		}
		need.Data += bytes + files*lastBlock
		need.Metadata += files * fileMetadata
		if kernel.MatchString(archive.Package) {
			initramfs++
		}
	}
	need.Data += initramfs * largest
	return need, nil
}

// installedSizes finds what packages take in the lists of the archives that they
// come from, in bytes.
func installedSizes(root string, archives []Archive) (map[pkgdb.Binary]uint64, error) {
	wanted := make([]pkgdb.Binary, len(archives))
	for i, archive := range archives {
		wanted[i] = archive.Binary
	}
	sizes := map[pkgdb.Binary]uint64{}
	err := pkgdb.EachList(filepath.Join(root, pkgdb.ListsDir), func(list io.Reader) error {
		return pkgdb.ReadSizes(list, wanted, sizes)
	})
	return sizes, err
}

// rewritten is the size of what apt and dpkg write anew in every upgrade.
func rewritten(root string) uint64 {
	var bytes uint64
	for _, name := range []string{"cache/apt/pkgcache.bin", "cache/apt/srcpkgcache.bin", "lib/apt/extended_states", "lib/dpkg/status", "lib/dpkg/status-old"} {
		bytes += sizeOf(filepath.Join(root, "var", name))
	}
	return bytes
}

// installedFiles is how many files the installed version of a package has, 0 if
// none is installed.
func installedFiles(root string, b pkgdb.Binary) uint64 {
	for _, name := range []string{b.Package, b.Package + ":" + b.Arch} {
		list, err := regular.ReadFile(filepath.Join(root, "var/lib/dpkg/info", name+".list"), 64<<20)
		if err == nil {
			return uint64(bytes.Count(list, []byte("\n")))
		}
	}
	return 0
}

// largest is the size of the largest file of that pattern, 0 if there is none.
func largest(pattern string) uint64 {
	files, _ := filepath.Glob(pattern)
	var size uint64
	for _, file := range files {
		size = max(size, sizeOf(file))
	}
	return size
}

// sizeOf is the size of a file in bytes, 0 if there is none.
func sizeOf(file string) uint64 {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return uint64(info.Size())
}
