package pkgdb

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
)

// Files are the paths that the packages of a root have, relative to it.
type Files struct {
	Packaged  map[string]bool // files and directories, conffiles too
	Conffiles map[string]bool // also those that no version has any more, but were the admin's to change
}

// ReadFiles reads what dpkg knows of the files in a root: the lists of its
// packages, and the conffiles of its status file. Where /bin and others are links
// into /usr, as in Debian since 12, the paths are those that there really are.
func ReadFiles(root string) (Files, error) {
	r, err := openRoot(root)
	if err != nil {
		return Files{}, err
	}
	defer r.close()
	files := Files{Packaged: map[string]bool{}, Conffiles: map[string]bool{}}
	real := r.mergedUsr()
	names, err := r.names(infoDir)
	if err != nil {
		return Files{}, err
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".list") {
			continue
		}
		list, err := r.read(infoDir + "/" + name)
		if err != nil {
			return Files{}, err
		}
		for line := range bytes.Lines(list) {
			files.Packaged[real(string(bytes.TrimSuffix(line, []byte("\n"))))] = true
		}
	}
	status, err := r.readIfAny(statusFile)
	if err != nil {
		return Files{}, err
	}
	for _, name := range conffiles(status) {
		files.Conffiles[real(name)] = true
	}
	return files, nil
}

const infoDir = "var/lib/dpkg/info"

// mergedUsr returns a function that makes an absolute path of dpkg's relative to
// the root, and replaces the links of a merged /usr in it.
func (r *rootDir) mergedUsr() func(name string) string {
	links := map[string]bool{}
	for _, dir := range []string{"bin", "sbin", "lib", "lib32", "lib64", "libx32"} {
		target, err := os.Readlink(filepath.Join(r.name, dir))
		links[dir] = err == nil && target == "usr/"+dir
	}
	return func(name string) string {
		name = strings.TrimPrefix(name, "/")
		first, _, _ := strings.Cut(name, "/")
		switch {
		case name == "" || name == ".":
			return "."
		case links[first]:
			return "usr/" + name
		}
		return name
	}
}

// conffiles returns the paths in the Conffiles fields of a status file: each in a
// line with its checksum, and perhaps a word on what became of it.
func conffiles(status []byte) []string {
	var found []string
	inside := false
	for line := range bytes.Lines(status) {
		text := strings.TrimSuffix(string(line), "\n")
		if !strings.HasPrefix(text, " ") {
			field, _, _ := strings.Cut(text, ":")
			inside = strings.EqualFold(field, "Conffiles")
			continue
		}
		if !inside {
			continue
		}
		text = strings.TrimSuffix(strings.TrimSuffix(text[1:], " remove-on-upgrade"), " obsolete")
		if at := strings.LastIndexByte(text, ' '); at > 0 && strings.HasPrefix(text, "/") {
			found = append(found, text[:at])
		}
	}
	return found
}
