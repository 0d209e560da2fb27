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

// Archive is a package file that will be unpacked.
type Archive struct {
	pkgdb.Binary
	File string
}

// Estimates for unknown properties of packages.
const (
	// fileMetadata is the metadata of a file in bytes. An upgrade to the next release
	// needed 1.5 KiB for each of 40,000 files.
	fileMetadata = 2 << 10
	// lastBlock is the average unused part of a file's last block: Installed-Size
	// counts in KiB, a file system in blocks of 4 KiB.
	lastBlock = 2 << 10
	// fileSize is the assumed average size of files in bytes if their number is
	// unknown. In that upgrade the average was 45 KiB.
	fileSize = 32 << 10
	// inflated is the assumed ratio of a package's installed size to its file size, if
	// no list has the size. For most of Debian's packages it is three to four.
	inflated = 4
)

// kernel matches the names of packages that contain a kernel; metapackages only depend
// on one.
var kernel = regexp.MustCompile(`^linux-image-[0-9]`)

// ForUpgrade estimates the size of unpacking packages in a root, and of an initramfs
// for each new kernel and for one more. It does not subtract replaced files, because
// the origin keeps them.
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

// installedSizes returns the installed sizes of packages, in bytes, from the package
// lists.
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

// rewritten returns the size of the files that apt and dpkg rewrite in every upgrade.
func rewritten(root string) uint64 {
	var bytes uint64
	for _, name := range []string{"cache/apt/pkgcache.bin", "cache/apt/srcpkgcache.bin", "lib/apt/extended_states", "lib/dpkg/status", "lib/dpkg/status-old"} {
		bytes += sizeOf(filepath.Join(root, "var", name))
	}
	return bytes
}

// installedFiles returns the number of files in the installed version of a package, or
// 0 if it is not installed.
func installedFiles(root string, b pkgdb.Binary) uint64 {
	for _, name := range []string{b.Package, b.Package + ":" + b.Arch} {
		list, err := regular.ReadFile(filepath.Join(root, "var/lib/dpkg/info", name+".list"), 64<<20)
		if err == nil {
			return uint64(bytes.Count(list, []byte("\n")))
		}
	}
	return 0
}

// largest returns the size of the largest file that matches a pattern, or 0.
func largest(pattern string) uint64 {
	files, _ := filepath.Glob(pattern)
	var size uint64
	for _, file := range files {
		size = max(size, sizeOf(file))
	}
	return size
}

// sizeOf returns the size of a file in bytes, or 0 if it does not exist.
func sizeOf(file string) uint64 {
	info, err := os.Stat(file)
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	return uint64(info.Size())
}
