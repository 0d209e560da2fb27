package dedupe

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// fake is a kernel whose file system a test describes.
type fake struct {
	mu      sync.Mutex
	most    int64            // the maximum number of bytes per call; 0: no limit
	fail    map[string]error // by content: the error of dedupe
	layout  map[string][]extent
	inPlace map[string]bool
	calls   []int64 // the offsets of all calls of dedupe
}

// content returns the content of an open file, by which the fake recognizes the file.
func content(fd int) string {
	data := make([]byte, 1<<20)
	n, _ := unix.Pread(fd, data, 0)
	return string(data[:max(n, 0)])
}

// key returns the first word of a file.
func key(fd int) string {
	word, _, _ := strings.Cut(content(fd), " ")
	return word
}

func (f *fake) dedupe(src, dst int, offset, length int64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, offset)
	if err := f.fail[key(dst)]; err != nil {
		return 0, err
	}
	if content(src) != content(dst) {
		return 0, errDiffers
	}
	if f.most > 0 {
		length = min(length, f.most)
	}
	return length, nil
}

func (f *fake) readAhead(int, int64, int64) {}

func (f *fake) extents(fd int) ([]extent, error) { return f.layout[key(fd)], nil }

func (f *fake) noCOW(fd int) (bool, error) { return f.inPlace[key(fd)], nil }

// steps is a kernel with a prepared answer for each call of dedupe.
type steps struct {
	fake
	answers []func(offset, length int64) (int64, error)
}

func (s *steps) dedupe(_, _ int, offset, length int64) (int64, error) {
	s.calls = append(s.calls, offset)
	answer := s.answers[0]
	s.answers = s.answers[1:]
	return answer(offset, length)
}

func TestShareInSteps(t *testing.T) {
	all := func(_, length int64) (int64, error) { return length, nil }
	some := func(n int64) func(int64, int64) (int64, error) {
		return func(int64, int64) (int64, error) { return n, nil }
	}
	fails := func(err error) func(int64, int64) (int64, error) {
		return func(int64, int64) (int64, error) { return 0, err }
	}
	type answers = []func(int64, int64) (int64, error)
	tests := []struct {
		name    string
		size    int64
		answers answers
		calls   []int64
		shared  int64
		err     error
	}{
		{"one step", 5000, answers{all}, []int64{0}, 5000, nil},
		{"two steps", step + 1, answers{all, all}, []int64{0, step}, step + 1, nil},
		{"a short count", 10000, answers{some(4096), some(4096), all}, []int64{0, 4096, 8192}, 10000, nil},
		{"no progress", 10000, answers{some(4096), some(0)}, []int64{0, 4096}, 4096, errNoProgress},
		{"the end differs", step + 1, answers{all, fails(errDiffers)}, []int64{0, step}, step, errDiffers},
		{"an error", 5000, answers{fails(unix.EIO)}, []int64{0}, 0, unix.EIO},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k := &steps{answers: test.answers}
			shared, err := reflink(context.Background(), k, 0, 1, test.size)
			if shared != test.shared || !errors.Is(err, test.err) {
				t.Errorf("share = %d, %v, want %d, %v", shared, err, test.shared, test.err)
			}
			if diff := cmp.Diff(test.calls, k.calls); diff != "" {
				t.Errorf("the calls (-want +got):\n%s", diff)
			}
		})
	}
}

// tree creates files with contents, by path.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		file := filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// text returns 5000 bytes that begin with a key of the fake.
func text(key string) string {
	return string(append(append([]byte(key), ' '), bytes.Repeat([]byte{'x'}, 4999-len(key))...))
}

func runFake(t *testing.T, ctx context.Context, k kernel, base, root string) (Report, error) {
	t.Helper()
	trees, err := openTrees(base, root)
	if err != nil {
		t.Fatal(err)
	}
	defer trees.close()
	candidates, err := trees.candidates(ctx, 2)
	if err != nil {
		return Report{}, err
	}
	last := 0
	p := pass{trees, k}
	return p.run(ctx, candidates, 2, func(done, total int) {
		if done != last+1 || total != len(candidates) {
			t.Errorf("Progress(%d, %d) after %d of %d", done, total, last, len(candidates))
		}
		last = done
	})
}

func TestOutcomes(t *testing.T) {
	here := []extent{{0, 4096, 8192, extentShared | extentLast}}
	k := &fake{
		fail: map[string]error{"nocow": unix.EINVAL, "invalid": unix.EINVAL, "unsupported": unix.EOPNOTSUPP, "broken": unix.EIO},
		layout: map[string][]extent{
			"inline":     {{0, 0, 4096, extentInline | extentLast}},
			"already":    here,
			"compressed": {{0, 1 << 20, 8192, extentEncoded | extentLast}},
		},
		inPlace: map[string]bool{"nocow": true},
	}
	words := []string{"same", "nocow", "invalid", "unsupported", "broken", "inline", "already", "compressed"}
	files := map[string]string{}
	for _, w := range words {
		files["dir/"+w] = text(w)
	}
	files["dir/differs"] = text("old")
	base := tree(t, files)
	files["dir/differs"] = text("new")
	files["dir/small"] = "x"
	files["dir/without a base"] = text("y")
	root := tree(t, files)
	got, err := runFake(t, context.Background(), k, base, root)
	if err != nil {
		t.Fatal(err)
	}
	one, two := Count{1, 5000}, Count{2, 10000}
	want := Report{
		Candidates: Count{9, 45000}, Shared: two, Already: one, Differing: one, NoCOW: one,
		Inline: one, Unsupported: one, Failed: two, Compressed: one,
	}
	if got.Failure == "" {
		t.Error("the report has no failure")
	}
	got.Failure = ""
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the report (-want +got):\n%s", diff)
	}
}

// The packages' checksums find a file whose path has changed, also below a directory
// that is a link to usr.
func TestRunFindsMovedFile(t *testing.T) {
	const sum = "0123456789abcdef0123456789abcdef"
	base := tree(t, map[string]string{
		"usr/lib/old/file":            text("same"),
		"var/lib/dpkg/info/a.md5sums": sum + "  lib/gone\n" + sum + "  lib/old/file\n",
		"var/lib/dpkg/info/a.list":    sum + "  lib/not/checksums\n",
	})
	root := tree(t, map[string]string{
		"usr/lib/new/file":            text("same"),
		"usr/lib/new/other":           text("other"),
		"var/lib/dpkg/info/b.md5sums": sum + "  usr/lib/new/file\n",
	})
	if err := os.Symlink("usr/lib", filepath.Join(base, "lib")); err != nil {
		t.Fatal(err)
	}
	got, err := runFake(t, context.Background(), &fake{most: 4096}, base, root)
	want := Report{Candidates: Count{1, 5000}, Shared: Count{1, 5000}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v, the report (-want +got):\n%s", err, diff)
	}
}

func TestCancel(t *testing.T) {
	files := map[string]string{"a": text("a"), "b": text("b")}
	base, root := tree(t, files), tree(t, files)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Run(ctx, base, root, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want that it was cancelled", err)
	}
}

func TestRunMissingTree(t *testing.T) {
	dir := t.TempDir()
	for _, pair := range [][2]string{{dir, dir + "/none"}, {dir + "/none", dir}} {
		if _, err := Run(context.Background(), pair[0], pair[1], Options{}); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("Run(%q) = %v, want that there is none", pair, err)
		}
	}
}

func TestSame(t *testing.T) {
	one := []extent{{0, 100, 8192, extentShared}, {8192, 900, 4096, extentShared}}
	tests := []struct {
		name string
		b    []extent
		want bool
	}{
		{"the same", []extent{{0, 100, 8192, 0}, {8192, 900, 4096, extentLast}}, true},
		{"another place", []extent{{0, 100, 8192, 0}, {8192, 901, 4096, 0}}, false},
		{"another length", []extent{{0, 100, 8192, 0}, {8192, 900, 8192, 0}}, false},
		{"another position", []extent{{0, 100, 8192, 0}, {8193, 900, 4096, 0}}, false},
		{"fewer", []extent{{0, 100, 8192, 0}}, false},
		{"none", nil, false},
	}
	for _, test := range tests {
		if got := same(one, test.b); got != test.want {
			t.Errorf("%s: same = %v", test.name, got)
		}
	}
}
