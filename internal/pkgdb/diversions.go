package pkgdb

import (
	"slices"
	"strings"
)

// diversionsFile has three lines for each diversion: the file, its new name, and the
// package whose own file replaces it; ":" for an administrator's (dpkg-divert(1)).
const diversionsFile = "var/lib/dpkg/diversions"

// LocalDiversions returns the files of a root file system that its administrator has
// diverted, each with its new name, sorted.
func LocalDiversions(root string) ([]string, error) {
	dir, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.close()
	content, err := dir.readIfAny(diversionsFile)
	if err != nil {
		return nil, err
	}
	var local []string
	lines := strings.Split(string(content), "\n")
	for i := 0; i+2 < len(lines); i += 3 {
		if lines[i+2] == ":" {
			local = append(local, lines[i]+" to "+lines[i+1])
		}
	}
	slices.Sort(local)
	return local, nil
}
