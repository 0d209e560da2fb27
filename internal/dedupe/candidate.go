package dedupe

import (
	"cmp"
	"context"
	"slices"
)

// candidate is a file of the new tree that may be equal to a file of the base.
type candidate struct {
	path    string   // path in the new tree
	size    int64    // in bytes
	sources []string // paths in the base, the most likely first
}

// mostSources is the maximum number of files of the base that are compared with one
// candidate.
const mostSources = 3

// candidates finds the candidates of two trees.
func (t *trees) candidates(ctx context.Context, workers int) ([]candidate, error) {
	files, err := t.scan(ctx, workers)
	if err != nil {
		return nil, err
	}
	return choose(files, t.elsewhere(files)), nil
}

// elsewhere maps the paths of new files to paths in the base with the same checksum. It
// skips files for which the base has a file of the same size at the same path.
func (t *trees) elsewhere(files []found) map[string][]string {
	wanted := map[string]string{}
	for _, f := range files {
		if !f.samePath {
			wanted[f.path] = ""
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	sums := map[string][]string{} // by checksum: paths in the base
	names := readAliases(t.root)
	readChecksums(t.root, func(sum, path []byte) {
		file := names.resolve(string(path))
		if _, ok := wanted[file]; ok {
			wanted[file] = string(sum)
			sums[string(sum)] = nil
		}
	})
	names = readAliases(t.base)
	readChecksums(t.base, func(sum, path []byte) {
		if places, ok := sums[string(sum)]; ok && len(places) < mostSources {
			sums[string(sum)] = append(places, names.resolve(string(path)))
		}
	})
	places := map[string][]string{}
	for file, sum := range wanted {
		if found := sums[sum]; len(found) > 0 {
			places[file] = found
		}
	}
	return places
}

// choose returns candidates for the files that have something to compare with: one per
// inode, sorted by inode number, which is the order of creation and mostly the order on
// the disk.
func choose(files []found, elsewhere map[string][]string) []candidate {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.inode, b.inode), cmp.Compare(a.path, b.path))
	})
	var chosen []candidate
	last := uint64(0) // the inode of the last one chosen
	for _, f := range files {
		sources := elsewhere[f.path]
		if f.samePath {
			sources = []string{f.path}
		}
		if len(sources) == 0 {
			continue
		}
		if len(chosen) > 0 && f.inode == last {
			c := &chosen[len(chosen)-1]
			c.sources = merge(c.sources, sources)
			continue
		}
		last = f.inode
		chosen = append(chosen, candidate{path: f.path, size: f.size, sources: slices.Clone(sources)})
	}
	return chosen
}

// merge adds sources that are not in the list yet, up to mostSources.
func merge(sources, more []string) []string {
	for _, s := range more {
		if len(sources) < mostSources && !slices.Contains(sources, s) {
			sources = append(sources, s)
		}
	}
	return sources
}
