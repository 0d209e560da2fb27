package pkgdb

import (
	"slices"
	"strings"
)

// diversionsFile has three lines for each: the file, where it is diverted to, and
// the package that has its own in its place; ":" for an admin's (dpkg-divert(1)).
const diversionsFile = "var/lib/dpkg/diversions"

// LocalDiversions returns the files of a root file system that its admin has
// diverted, each with where to, in an order of their own.
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
