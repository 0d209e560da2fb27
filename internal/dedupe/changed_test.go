package dedupe

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// A path whose type changed since the scan is left alone, on either side, and is not
// waited for.
func TestChangedSinceTheScan(t *testing.T) {
	outside := tree(t, map[string]string{"file": text("same")})
	changes := map[string]func(dir string) error{
		"removed":   func(dir string) error { return os.Remove(dir + "/file") },
		"truncated": func(dir string) error { return os.Truncate(dir+"/file", 4000) },
		"a FIFO": func(dir string) error {
			if err := os.Remove(dir + "/file"); err != nil {
				return err
			}
			return unix.Mkfifo(dir+"/file", 0o644)
		},
		"a directory": func(dir string) error {
			if err := os.Remove(dir + "/file"); err != nil {
				return err
			}
			return os.Mkdir(dir+"/file", 0o755)
		},
		"a link": func(dir string) error {
			if err := os.Remove(dir + "/file"); err != nil {
				return err
			}
			return os.Symlink(outside+"/file", dir+"/file")
		},
		"below a link": func(dir string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.Symlink(outside, dir)
		},
	}
	for name, change := range changes {
		for side := range 2 {
			files := map[string]string{"dir/file": text("same")}
			sides := []string{tree(t, files), tree(t, files)}
			trees, err := openTrees(sides[0], sides[1])
			if err != nil {
				t.Fatal(err)
			}
			defer trees.close()
			candidates, err := trees.candidates(context.Background(), 1)
			if err != nil || len(candidates) != 1 {
				t.Fatalf("candidates = %v, %v, want one", candidates, err)
			}
			if err := change(filepath.Join(sides[side], "dir")); err != nil {
				t.Fatal(err)
			}
			k := &fake{}
			p := pass{trees, k}
			got, err := p.run(context.Background(), candidates, 1, nil)
			want := Report{Candidates: Count{1, 5000}, Changed: Count{1, 5000}}
			if diff := cmp.Diff(want, got); diff != "" || err != nil || len(k.calls) > 0 {
				t.Errorf("%s, side %d: %v, %d calls, the report (-want +got):\n%s", name, side, err, len(k.calls), diff)
			}
		}
	}
}

// A pass that is stopped between two steps reports no failures.
func TestRunStopsBetweenSteps(t *testing.T) {
	files := map[string]string{"a": text("a"), "b": text("b")}
	trees, err := openTrees(tree(t, files), tree(t, files))
	if err != nil {
		t.Fatal(err)
	}
	defer trees.close()
	ctx, cancel := context.WithCancel(context.Background())
	candidates, err := trees.candidates(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	k := &steps{}
	k.answers = append(k.answers, func(_, length int64) (int64, error) {
		cancel()
		return 4096, nil
	})
	p := pass{trees, k}
	got, err := p.run(ctx, candidates, 1, nil)
	if err == nil {
		t.Error("a pass that was stopped has no error")
	}
	if diff := cmp.Diff(Report{}, got); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
}
