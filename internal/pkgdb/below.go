package pkgdb

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// OwnedFile is a path that belongs to a package.
type OwnedFile struct {
	Package string // without the architecture
	Path    string // absolute, with links in its directories resolved
}

// Directory reports whether it is a directory in a root, or missing.
func (f OwnedFile) Directory(root string) bool {
	info, err := os.Lstat(filepath.Join(root, f.Path))
	return err != nil || info.IsDir()
}

// FilesBelow returns the paths of installed packages below some absolute places: of all
// packages if none are named. It does not look into these places, which may not
// respond.
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
