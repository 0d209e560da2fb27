package merge

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// tip is a commit of the target with its name.
type tip struct{ name, commit string }

// mostRefs is the maximum size of a file with refs. The largest public repositories
// need a tenth of it.
const mostRefs = 64 << 20

// longestRef is the maximum size of a file with one ref: a file name and a word.
const longestRef = 8 << 10

func (p *planner) readAll(tree Tree, name string) ([]byte, error) {
	if !isKind(tree, name, Regular) {
		return nil, nil
	}
	content, err := p.trees.Read(name, tree, mostRefs+1)
	if err == nil && len(content) > mostRefs {
		err = errors.New("the file is too large")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read /%s: %w", name, err)
	}
	return content, nil
}

// readRefs reads the refs of a repository (branches, tags and others) on each side.
func (p *planner) readRefs(d *gitDir) error {
	for i, tree := range p.sides() {
		refs := map[string]string{}
		packed, err := p.readAll(tree, path.Join(d.path, "packed-refs"))
		if err != nil {
			return err
		}
		packedRefs(packed, refs)
		for _, m := range d.members {
			name := d.name(m)
			node := []Node{m.Base, m.Running, m.Target}[i]
			if name != "HEAD" && !strings.HasPrefix(name, "refs/") && !isWorktreeHead(name) {
				continue
			}
			if node.Kind == Symlink { // an old form of git
				refs[name] = "ref: " + node.Content
				continue
			}
			if node.Kind != Regular {
				continue
			}
			content, err := p.trees.Read(m.Path, tree, longestRef)
			if err != nil {
				return fmt.Errorf("cannot read /%s: %w", m.Path, err)
			}
			if value := strings.TrimSpace(string(content)); value != "" {
				refs[name] = value
			}
		}
		d.refs[i] = refs
	}
	return nil
}

func isWorktreeHead(name string) bool {
	parts := strings.Split(name, "/")
	return len(parts) == 3 && parts[0] == "worktrees" && parts[2] == "HEAD"
}

// packedRefs parses packed-refs: "COMMIT NAME" lines, and "^COMMIT" for the target of
// an annotated tag.
func packedRefs(content []byte, refs map[string]string) {
	for line := range strings.Lines(string(content)) {
		commit, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if ok && isCommit(commit) {
			refs[name] = commit
		}
	}
}

// isCommit reports whether a value is an object name: SHA-1 or SHA-256 in hexadecimal.
func isCommit(value string) bool {
	return (len(value) == 40 || len(value) == 64) && strings.Trim(value, "0123456789abcdef") == ""
}

// sameRefs compares all refs except those that a merge has created.
func sameRefs(a, b map[string]string) bool {
	own := func(refs map[string]string) map[string]string {
		refs = maps.Clone(refs)
		maps.DeleteFunc(refs, func(name, _ string) bool { return gitPartOf(name) == keptHere })
		return refs
	}
	return maps.Equal(own(a), own(b))
}

// head returns the commit of a side's HEAD, or "".
func (d *gitDir) head(side int) string {
	value := d.refs[side]["HEAD"]
	for range 5 { // as many levels as git follows
		name, symbolic := strings.CutPrefix(value, "ref:")
		if !symbolic {
			break
		}
		value = d.refs[side][strings.TrimSpace(name)]
	}
	if !isCommit(value) {
		return ""
	}
	return value
}

// tips returns the commits that only the target has a name for.
func (d *gitDir) tips() []tip {
	running := map[string]bool{}
	for _, commit := range d.refs[1] {
		running[commit] = true
	}
	var tips []tip
	for _, name := range slices.Sorted(maps.Keys(d.refs[2])) {
		commit := d.refs[2][name]
		if isCommit(commit) && commit != d.refs[0][name] && !running[commit] && gitPartOf(name) != keptHere && isRefName(name) {
			tips = append(tips, tip{name, commit})
		}
	}
	return tips
}

// isRefName reports whether a name is valid for git (git-check-ref-format(1)), and
// therefore safe as a path.
func isRefName(name string) bool {
	if strings.ContainsAny(name, " ~^:?*[\\\x7f") || strings.Contains(name, "..") || strings.Contains(name, "@{") || strings.HasSuffix(name, ".") || path.Clean(name) != name || path.IsAbs(name) {
		return false
	}
	if strings.ContainsFunc(name, func(r rune) bool { return r < ' ' }) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool {
		return part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock")
	})
}

// refWord turns an environment's name into a component of a ref's name.
func refWord(name string) string {
	if isRefName(name) && !strings.Contains(name, "/") {
		return name
	}
	word := strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
	if word == "" {
		return "environment"
	}
	return word
}

// keep creates names for commits below keptRefs. The names contain the commits, so that
// another merge does not replace them.
func (p *planner) keep(d *gitDir, tips []tip) ([]Change, error) {
	var parts []Change
	made := map[string]bool{}
	head, err := p.trees.Running.Node(path.Join(d.path, "HEAD"))
	if err != nil {
		return nil, err
	}
	dir, err := p.trees.Running.Node(path.Join(d.path, "refs"))
	if err != nil {
		return nil, err
	}
	file := head.Attributes
	if head.Kind != Regular {
		file.Mode = dir.Mode &^ 0o111
	}
	for _, t := range tips {
		name := path.Join(keptRefs, refWord(p.trees.Name), strings.TrimPrefix(t.name, "refs/")+"-"+t.commit[:12])
		var up []string
		for at := path.Dir(name); at != "refs"; at = path.Dir(at) {
			up = append(up, at)
		}
		for _, at := range slices.Backward(up) {
			full := path.Join(d.path, at)
			if made[full] {
				continue
			}
			made[full] = true
			part := Change{Path: full, Running: Node{Kind: Directory, Attributes: dir.Attributes}}
			if part.Target, err = p.trees.Target.Node(full); err != nil {
				return nil, err
			}
			if part.Target.Kind != Directory {
				part.Decision = Decision{Source: FromRunning, Attributes: dir.Attributes}
				parts = append(parts, part)
			}
		}
		parts = append(parts, Change{
			Path: path.Join(d.path, name), ready: []byte(t.commit + "\n"),
			Decision: Decision{Source: FromMerged, Action: Merge, Attributes: file},
		})
	}
	return parts, nil
}
