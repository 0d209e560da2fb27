package pkgdb

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OwnedFile is a path that a package has.
type OwnedFile struct {
	Package string // without its architecture
	Path    string // absolute, where it really is if directories above it are links
}

// Directory says whether it is a directory in a root, or not there.
func (f OwnedFile) Directory(root string) bool {
	info, err := os.Lstat(filepath.Join(root, f.Path))
	return err != nil || info.IsDir()
}

// FilesBelow returns what installed packages have below some places, which are
// absolute: of all packages if none are named. It looks at nothing in these places,
// which may not answer.
func FilesBelow(root string, places, packages []string) ([]OwnedFile, error) {
	r, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer r.close()
	foreign := make([]string, len(places))
	for i, place := range places {
		foreign[i] = strings.TrimPrefix(place, "/")
	}
	real := r.realPath(foreign...)
	names, err := r.names(infoDir)
	if err != nil {
		return nil, err
	}
	var found []OwnedFile
	for _, name := range names {
		owner, isList := strings.CutSuffix(name, ".list")
		owner, _, _ = strings.Cut(owner, ":")
		if !isList || packages != nil && !slices.Contains(packages, owner) {
			continue
		}
		list, err := r.read(infoDir + "/" + name)
		if err != nil {
			return nil, err
		}
		for line := range bytes.Lines(list) {
			file := "/" + real(string(bytes.TrimSuffix(line, []byte("\n"))))
			if slices.ContainsFunc(places, func(place string) bool { return strings.HasPrefix(file, place+"/") }) {
				found = append(found, OwnedFile{Package: owner, Path: file})
			}
		}
	}
	return found, nil
}
