package merge

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestPlanOfUsers checks that changes of users below /home never need a decision of the
// administrator.
func TestPlanOfUsers(t *testing.T) {
	three := func(dir string) [3]tree {
		return [3]tree{
			grow(dir+"/", dir+"/data=1", dir+"/dir/", dir+"/db=SQLite format 3\x00", dir+"/db-wal=1", dir+"/way/"),
			grow(dir+"/", dir+"/data=2", dir+"/dir>x", dir+"/db=SQLite format 3\x00", dir+"/db-wal=2", dir+"/way/", dir+"/way/new=1", dir+"/bad=unreadable"),
			grow(dir+"/", dir+"/data=3", dir+"/dir/", dir+"/dir/own=3", dir+"/db=SQLite format 3\x00", dir+"/db-wal=3", dir+"/way=3"),
		}
	}
	for dir, want := range map[string][]string{
		"srv":  {"bad refused", "data refused", "db refused", "dir refused", "way/new refused"},
		"home": {"bad left", "data aside", "db aside", "dir aside", "way/new left"},
	} {
		sides := three(dir)
		trees := Trees{
			Base: sides[0], Running: sides[1], Target: sides[2],
			Same: func(name string, a, b Tree) (bool, error) {
				return a.(tree)[name].Content == b.(tree)[name].Content, nil
			},
			Read: func(name string, tr Tree, most int64) ([]byte, error) {
				content := tr.(tree)[name].Content
				return []byte(content[:min(len(content), int(most))]), nil
			},
			IsUsers:        func(path string) bool { return strings.HasPrefix(path, "home/") },
			SkipUnreadable: func(path string, err error) bool { return strings.HasPrefix(path, "home/") },
		}
		changes, _, err := Plan(trees, append(sides[1].changed(sides[0]), dir+"/way"), nil, func(string) File { return Data })
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range changes {
			fate := "left"
			switch {
			case c.Refused:
				fate = "refused"
			case c.KeepTarget:
				fate = "aside"
			case c.Source == FromRunning:
				fate = "carried"
			}
			got = append(got, fmt.Sprint(strings.TrimPrefix(c.Path, dir+"/"), " ", fate))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", dir, got, want)
		}
	}
}

// closed is a tree with an unreadable directory.
type closed struct {
	tree
	dir string
}

func (c closed) Node(name string) (Node, error) {
	if name == c.dir {
		return Node{}, errors.New("it has too many attributes")
	}
	return c.tree.Node(name)
}

// A new file below an unreadable directory is left behind if a user may be the cause.
// Otherwise the merge fails.
func TestPlanBelowUnreadableDirectory(t *testing.T) {
	for _, leaves := range []bool{true, false} {
		was := tree{"home/d": {Kind: Directory, Inode: 1}}
		running := tree{"home/d": {Kind: Directory, Inode: 1}, "home/d/new": {Kind: Regular, Content: "x", Size: 1}}
		trees := Trees{
			Base: was, Running: running, Target: closed{was, "home/d"},
			Same:           func(string, Tree, Tree) (bool, error) { return false, nil },
			IsUsers:        func(string) bool { return true },
			SkipUnreadable: func(string, error) bool { return leaves },
		}
		changes, _, err := Plan(trees, []string{"home/d/new"}, nil, func(string) File { return Data })
		switch {
		case leaves && (err != nil || len(changes) != 1 || !changes[0].Uncopyable || changes[0].Refused):
			t.Errorf("a user's: %+v, %v, want it left behind", changes, err)
		case !leaves && err == nil:
			t.Errorf("nobody's: %+v, want an error", changes)
		}
	}
}

// steps is a tree that counts its calls.
type steps struct {
	tree
	asked map[string]int
}

func (s steps) Names(name string) ([]string, error) {
	s.asked[name]++
	if name == "." {
		return []string{"d"}, nil
	}
	if strings.Count(name, "/") < 10_000 {
		return []string{"d"}, nil
	}
	return nil, errors.New("too far")
}

// TestPlanOfDeepTrees checks that the plan reads each directory a few times at most,
// and none that is too deep.
func TestPlanOfDeepTrees(t *testing.T) {
	running := steps{grow(), map[string]int{}}
	var changed []string
	for name := "d"; len(name) < 5000; name += "/d" {
		running.tree[name] = Node{Kind: Directory}
		changed = append(changed, name)
	}
	trees := Trees{Base: grow(), Running: running, Target: grow(), Same: func(string, Tree, Tree) (bool, error) { return false, nil }}
	changes, _, err := Plan(trees, append(changed, "."), nil, func(string) File { return Data })
	if err != nil {
		t.Fatal(err)
	}
	if last := changes[len(changes)-1]; len(changes) != 129 || !last.Whole || last.Source != FromRunning {
		t.Errorf("there are %d changes, the last one of which is %+v", len(changes), last)
	}
	for name, n := range running.asked {
		if n > 3 {
			t.Errorf("%.20s of %d bytes was listed %d times", name, len(name), n)
		}
	}
}
