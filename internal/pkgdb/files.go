package pkgdb

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Files are the paths of the packages of a root, relative to it.
type Files struct {
	Packaged  map[string]bool // files and directories, including conffiles
	Conffiles map[string]bool // including those of earlier versions, which the administrator may have changed
}

// ReadFiles reads dpkg's lists of files in a root, and the conffiles of its status
// file. If directories are links, such as /bin into /usr in Debian since 12, or one
// that the administrator has moved, the paths are the resolved ones.
func ReadFiles(root string) (Files, error) {
	r, err := openRoot(root)
	if err != nil {
		return Files{}, err
	}
	defer r.close()
	files := Files{Packaged: map[string]bool{}, Conffiles: map[string]bool{}}
	real := r.realPath()
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

// mergedUsr returns a function that makes an absolute path of dpkg relative to the
// root, and replaces the links of a merged /usr in it.
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

// mostLinks is the maximum number of links in a path (path_resolution(7)).
const mostLinks = 40

// realPath is mergedUsr that also follows the links in the directories of a path. It
// does not look into foreign directories.
func (r *rootDir) realPath(foreign ...string) func(name string) string {
	merged := r.mergedUsr()
	known := map[string]string{".": "."}
	var real func(dir string, links int) string
	real = func(dir string, links int) string {
		if there, ok := known[dir]; ok {
			return there
		}
		there := path.Join(real(path.Dir(dir), links), path.Base(dir))
		// The path has no links except in its last part, so nothing outside is read.
		isForeign := slices.ContainsFunc(foreign, func(f string) bool { return there == f || strings.HasPrefix(there, f+"/") })
		if isForeign {
			known[dir] = there
			return there
		}
		if target, err := os.Readlink(filepath.Join(r.name, there)); err == nil && links < mostLinks {
			if !path.IsAbs(target) {
				target = path.Join("/", path.Dir(there), target)
			}
			there = "."
			if inside := strings.TrimPrefix(path.Clean(target), "/"); inside != "" {
				there = real(inside, links+1)
			}
		}
		known[dir] = there
		return there
	}
	return func(name string) string {
		name = merged(name)
		end := strings.LastIndexByte(name, '/')
		if end < 0 {
			return name
		}
		if there := real(name[:end], 0); there != name[:end] {
			return path.Join(there, name[end+1:])
		}
		return name
	}
}

// conffiles returns the paths in the Conffiles fields of a status file: each in a line
// with its checksum, and perhaps a word about its state.
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
