package pkgdb

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"pault.ag/go/debian/control"
)

// ListsDir is the directory of apt's package lists, from a root.
const ListsDir = "/var/lib/apt/lists"

// EachList calls read with each package list in a directory of apt. No script of a
// sandbox may be able to write to the directory: apt decompresses the lists.
func EachList(dir string, read func(list io.Reader) error) error {
	lists, err := filepath.Glob(filepath.Join(dir, "*_Packages*"))
	if err != nil {
		return err
	}
	for _, list := range lists {
		open := readPlain
		if !strings.HasSuffix(list, "_Packages") {
			open = readCompressed
		}
		if err := open(list, read); err != nil && !errors.Is(err, fs.ErrNotExist) { // apt may be replacing it
			return err
		}
	}
	return nil
}

func readPlain(file string, read func(io.Reader) error) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	return read(f)
}

// readCompressed lets apt decompress a list, whatever format apt keeps it in.
func readCompressed(file string, read func(io.Reader) error) error {
	cat := exec.Command("/usr/lib/apt/apt-helper", "cat-file", file)
	out, err := cat.StdoutPipe()
	if err == nil {
		err = cat.Start()
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", file, err)
	}
	err = read(out)
	if ended := cat.Wait(); err == nil && ended != nil {
		err = fmt.Errorf("cannot read %s: %w", file, ended)
	}
	return err
}

// Archive is a list's data about the file of a package.
type Archive struct {
	Size   int64
	SHA256 string // in lower-case hexadecimal digits
}

// ReadArchives reads a repository's package list, and adds its data about the wanted
// files to found, by their names in apt's cache. One name may occur several times: two
// repositories can have their own builds.
func ReadArchives(list io.Reader, wanted map[string]bool, found map[string][]Archive) error {
	packages := map[string]bool{}
	for name := range wanted {
		pkg, _, _ := strings.Cut(name, "_")
		packages[pkg] = true
	}
	return eachListed(list, func(pkg string) bool { return packages[pkg] }, func(p control.Paragraph) bool {
		file, _ := field(p, "Filename")
		size, _ := field(p, "Size")
		sum, _ := field(p, "SHA256")
		a := Archive{SHA256: strings.ToLower(sum)}
		a.Size, _ = strconv.ParseInt(size, 10, 64)
		if name := binaryOf(p).CacheName(file); len(a.SHA256) == 64 && wanted[name] {
			found[name] = append(found[name], a)
		}
		return true
	})
}

// CacheName returns the name in apt's cache of a package with this name in its
// repository (pkgAcqArchive in apt-pkg/acquire-item.cc).
func (b Binary) CacheName(inRepository string) string {
	kind := inRepository[strings.LastIndexByte(inRepository, '/')+1:]
	kind = kind[strings.LastIndexByte(kind, '.')+1:]
	return quote(b.Package, "_:") + "_" + quote(b.Version, "_:") + "_" + quote(b.Arch, "_:.") + "." + kind
}

// quote is libapt's QuoteString (strutl.cc).
func quote(s, bad string) string {
	var quoted strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '%' || strings.IndexByte(bad, c) >= 0 {
			fmt.Fprintf(&quoted, "%%%02x", c)
		} else {
			quoted.WriteByte(c)
		}
	}
	return quoted.String()
}
