package pkgdb

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// ListsDir is where apt keeps the lists of the repositories' packages, below a root.
const ListsDir = "/var/lib/apt/lists"

// EachList calls read with each list of packages in a directory of apt's, which is
// one that no script of a sandbox writes to: a compressed list is apt's to read.
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
		if err := open(list, read); err != nil && !errors.Is(err, fs.ErrNotExist) { // apt may be at it
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

// readCompressed has apt decompress, in whichever way it keeps its lists.
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

// Archive is what a list says of the file of a package.
type Archive struct {
	Size   int64
	SHA256 string // in small hexadecimal digits
}

// ReadArchives reads a repository's list of packages, and adds to found what it says
// of those files that are wanted, by the names that apt gives them in its cache. Of
// one name there may be several: two repositories have builds of their own.
func ReadArchives(list io.Reader, wanted map[string]bool, found map[string][]Archive) error {
	packages := map[string]bool{}
	for name := range wanted {
		pkg, _, _ := strings.Cut(name, "_")
		packages[pkg] = true
	}
	lines := bufio.NewReaderSize(list, 1<<20)
	var b Binary
	var a Archive
	file, skip := "", false
	enter := func() {
		if name := b.CacheName(file); !skip && len(a.SHA256) == 64 && wanted[name] {
			found[name] = append(found[name], a)
		}
		b, a, file, skip = Binary{}, Archive{}, "", false
	}
	for {
		line, err := readLine(lines)
		switch {
		case err == io.EOF:
			enter()
			return nil
		case err != nil:
			return fmt.Errorf("cannot read a list of packages: %w", err)
		case len(line) == 0:
			enter()
			continue
		case skip:
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch string(name) {
		case "Package":
			b.Package = string(value)
			skip = !packages[b.Package]
		case "Version":
			b.Version = string(value)
		case "Architecture":
			b.Arch = string(value)
		case "Filename":
			file = string(value)
		case "Size":
			a.Size, _ = strconv.ParseInt(string(value), 10, 64)
		case "SHA256":
			a.SHA256 = strings.ToLower(string(value))
		}
	}
}

// CacheName is the name that apt gives in its cache to a package that has that name
// in its repository (pkgAcqArchive in apt-pkg/acquire-item.cc).
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
