package btrfs_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/tests/btrfs/loop"
	"github.com/apt-be/apt-be/tests/btrfs/trace"
)

// TestSyncKilled kills apt-be sync before each of its system calls that change a file
// system. The environment is then unchanged or completely merged, and the next sync has
// the same result as an undisturbed one.
func TestSyncKilled(t *testing.T) {
	k := newKillLab(t)
	var whole stored
	var calls []string
	t.Run("undisturbed", func(t *testing.T) {
		w := k.begin(t)
		before := w.look()
		calls = w.sync(0)
		whole = w.look()
		if maps.Equal(before.target, whole.target) {
			t.Fatal("nothing was carried over")
		}
		w.sync(0)
		if again := w.look(); !again.same(whole) {
			t.Errorf("the second one changed: %s", again.differs(whole))
		}
		whole.before = before.target
	})
	if t.Failed() {
		return
	}
	for _, nth := range someOf(calls) {
		t.Run(fmt.Sprintf("%03d %s", nth, calls[nth-1]), func(t *testing.T) { k.kill(t, whole, nth) })
		if *nightly && calls[nth-1] == "renameat2" {
			// The recovery is killed, too.
			for again := range 30 {
				t.Run(fmt.Sprintf("%03d %s, %d", nth, calls[nth-1], again+1), func(t *testing.T) { k.kill(t, whole, nth, again+1) })
			}
		}
	}
}

// kill kills apt-be sync at its nth calls, one after the other, and compares the result
// of the next sync with that of an undisturbed one.
func (k killLab) kill(t *testing.T, whole stored, nths ...int) {
	w := k.begin(t)
	for _, nth := range nths {
		w.sync(nth)
		target := w.tree(killedTarget)
		if !maps.Equal(target, whole.before) && !maps.Equal(target, whole.target) {
			t.Errorf("killed at %d, the environment is neither as it was nor as it is to be", nth)
		}
	}
	w.sync(0)
	if now := w.look(); !now.same(whole) {
		t.Errorf("the next one left other than an undisturbed one: %s", now.differs(whole))
	}
}

// someOf returns the positions of calls, from 1: of each name only some at even
// distances, including the first and the last, unless the test is nightly.
func someOf(calls []string) []int {
	const some = 6
	places := map[string][]int{}
	for i, name := range calls {
		places[name] = append(places[name], i+1)
	}
	var chosen []int
	for _, all := range places {
		if *nightly || len(all) <= some {
			chosen = append(chosen, all...)
			continue
		}
		for i := range some {
			chosen = append(chosen, all[i*(len(all)-1)/(some-1)])
		}
	}
	slices.Sort(chosen)
	return chosen
}

const (
	killedRunning = "@rootfs"
	killedBase    = "@be-base/be"
	killedTarget  = "@be/be"
)

// killLab is an image with the initial state of each run.
type killLab struct {
	image  string
	binary string
}

func newKillLab(t *testing.T) killLab {
	t.Helper()
	k := killLab{filepath.Join(t.TempDir(), "before"), filepath.Join(t.TempDir(), "apt-be")}
	if out, err := exec.Command("go", "build", "-o", k.binary, "../../cmd/apt-be").CombinedOutput(); err != nil {
		t.Fatalf("cannot build apt-be: %v\n%s", err, out)
	}
	t.Run("prepare", func(t *testing.T) {
		s, image := newStore(t, storeImageSize)
		storeMust(t, s.Create(killedRunning))
		l := driftLab{T: t, store: s, running: s.Path(killedRunning), target: s.Path(killedTarget)}
		l.fill()
		l.write(l.running, "etc/fstab", image.Device+" / btrfs subvol=@rootfs 0 0\n")
		root := t.TempDir()
		image.Mount(t, root, "subvol="+killedRunning)
		if out, err := exec.Command(k.binary, "--root", root, "create", "be").CombinedOutput(); err != nil {
			t.Fatalf("cannot make a boot environment: %v\n%s", err, out)
		}
		l.upgrade()
		l.nextDay()
		l.write(l.running, "home/al/first", "x")
		storeMust(t, os.Link(filepath.Join(l.running, "home/al/first"), filepath.Join(l.running, "home/al/second")))
		storeMust(t, unix.Mkfifo(filepath.Join(l.running, "home/al/fifo"), 0o600))
		l.write(l.running, "var/lib/db/large", strings.Repeat("0123456789abcdef", 4<<10))
		storeMust(t, s.Sync())
		k.copy(t, image.File, k.image)
	})
	return k
}

func (k killLab) copy(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "--sparse=always", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy the image: %v\n%s", err, out)
	}
}

// killWorld is a machine of the image, until its test ends.
type killWorld struct {
	*testing.T
	lab   killLab
	store *btrfs.Store
	root  string // the mount point of the running root
}

func (k killLab) begin(t *testing.T) killWorld {
	t.Helper()
	file := filepath.Join(t.TempDir(), "image")
	k.copy(t, k.image, file)
	image := loop.Attach(t, file)
	w := killWorld{T: t, lab: k, store: openStore(t, image.Device), root: t.TempDir()}
	image.Mount(t, w.root, "subvol="+killedRunning)
	return w
}

// sync runs apt-be sync, and kills it at its nth call. It returns the calls.
func (w killWorld) sync(nth int) []string {
	w.Helper()
	output, err := os.Create(filepath.Join(w.TempDir(), "output"))
	storeMust(w.T, err)
	defer output.Close()
	calls, _, err := trace.Run(output, []string{w.lab.binary, "--root", w.root, "sync", "be"}, nth)
	if err != nil {
		said, _ := os.ReadFile(output.Name())
		w.Fatalf("%v:\n%s", err, said)
	}
	return calls
}

// stored is the content of a store: trees by path, and other files.
type stored struct {
	before, target, base, running map[string]string
	files                         []string
}

func (k stored) same(other stored) bool {
	return maps.Equal(k.target, other.target) && maps.Equal(k.base, other.base) && maps.Equal(k.running, other.running) &&
		slices.Equal(k.files, other.files)
}

// differs describes some differences.
func (k stored) differs(other stored) string {
	var lines []string
	for _, pair := range [][2]map[string]string{{k.target, other.target}, {k.base, other.base}, {k.running, other.running}} {
		for name := range pair[0] {
			if pair[0][name] != pair[1][name] {
				lines = append(lines, fmt.Sprintf("%s: %.100q, want %.100q", name, pair[0][name], pair[1][name]))
			}
		}
		for name := range pair[1] {
			if _, ok := pair[0][name]; !ok {
				lines = append(lines, name+" is not there")
			}
		}
	}
	if !slices.Equal(k.files, other.files) {
		lines = append(lines, fmt.Sprintf("%q, want %q", k.files, other.files))
	}
	return strings.Join(lines, "\n")
}

func (w killWorld) look() stored {
	w.Helper()
	return stored{target: w.tree(killedTarget), base: w.tree(killedBase), running: w.tree(killedRunning), files: w.files()}
}

// tree describes a subvolume without times.
func (w killWorld) tree(subvolume string) map[string]string {
	w.Helper()
	root, err := rootfs.Open(w.store.Path(subvolume))
	storeMust(w.T, err)
	defer root.Close()
	tree := map[string]string{}
	w.add(tree, root, w.store.Path(subvolume), ".")
	return tree
}

func (w killWorld) add(tree map[string]string, root *rootfs.Root, dir, name string) {
	w.Helper()
	node, err := root.Node(name)
	storeMust(w.T, err)
	node.Inode, node.Modified = 0, 0
	if node.Kind == merge.Regular {
		content, err := os.ReadFile(filepath.Join(dir, name))
		storeMust(w.T, err)
		node.Content = string(content)
	}
	tree[name] = fmt.Sprintf("%+v", node)
	names, err := root.Names(name)
	storeMust(w.T, err)
	for _, entry := range names {
		w.add(tree, root, dir, filepath.Join(name, entry))
	}
}

var uuid = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// files lists the files in the directories of the store's top level, with equal UUIDs
// replaced.
func (w killWorld) files() []string {
	w.Helper()
	var found []string
	top := w.store.Path("")
	for _, dir := range []string{"@be", "@be-base", "@apt-be"} {
		storeMust(w.T, filepath.WalkDir(filepath.Join(top, dir), func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			found = append(found, uuid.ReplaceAllString(strings.TrimPrefix(name, top), "UUID"))
			if dir != "@apt-be" && filepath.Base(filepath.Dir(name)) == dir {
				return fs.SkipDir // a subvolume
			}
			return nil
		}))
	}
	return found
}
