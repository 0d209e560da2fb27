package share_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/be/betest"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/procs"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
)

var ctx = context.Background()

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// machine is a machine that only records its mounts.
type machine struct {
	mounts map[string]string
	users  []procs.Process // processes that have their File open
	call   func() error    // is called before each operation, if not nil
	done   func() error    // is called after each operation
}

func (m *machine) Points() (map[string]string, error) { return maps.Clone(m.mounts), nil }

func (m *machine) around(do func()) error {
	if m.call != nil {
		if err := m.call(); err != nil {
			return err
		}
	}
	do()
	if m.done != nil {
		return m.done()
	}
	return nil
}

func (m *machine) Mount(e fstab.Entry) error {
	return m.around(func() { m.mounts[e.Dir] = e.Subvolume() })
}

func (m *machine) Unmount(dir string) error {
	if m.mounts[dir] == "" {
		return errors.New("it is not mounted")
	}
	return m.around(func() { delete(m.mounts, dir) })
}

func (m *machine) Users(match func(procs.File) bool) ([]procs.Process, error) {
	var found []procs.Process
	for _, user := range m.users {
		if match(user.File) {
			found = append(found, user)
		}
	}
	return found, nil
}

func (m *machine) Binds(string) ([]procs.Bind, error) { return nil, nil }

const fstabText = "UUID=1 / btrfs noatime,subvol=@rootfs 0 0\n"

// fixture is a machine that runs from @rootfs, with some mail and a second environment.
type fixture struct {
	*betest.Machine
	dir     string
	store   *fake.Store
	machine *machine
	reg     *be.Registry
	shares  *share.Shares
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	m := betest.New(t)
	st := m.Store
	w := &fixture{Machine: m, dir: m.Dir, store: st, machine: &machine{mounts: map[string]string{"/": "@rootfs"}}}
	w.write("@rootfs/etc/fstab", fstabText)
	w.write("@rootfs/var/mail/al", "one")
	w.write("@rootfs/var/mail/lists/debian", "two")
	check(t, os.Link(st.Path("@rootfs/var/mail/al"), st.Path("@rootfs/var/mail/same")))
	w.open(st)
	betest.Create(t, w.reg, "other", func(*be.Record) {})
	return w
}

// open opens the store as another process.
func (w *fixture) open(st store.Store) {
	w.reg = be.NewRegistry(st, "/", func(string) (be.Identity, error) { return be.Identity{}, nil })
	w.shares = share.New(w.reg, w.machine)
	// Changes settle immediately, because no test changes a file while it is copied.
	w.shares.SetClock(func() time.Time { return time.Now().Add(time.Hour) })
}

func (w *fixture) write(path, content string) {
	w.Helper()
	w.Write(path, content)
}

// add makes /var/mail a share.
func (w *fixture) add() error {
	return w.locked(func() error {
		plan, err := w.shares.PlanAdd(share.AddOptions{Path: "/var/mail", Name: "mail"})
		if err != nil {
			return err
		}
		return w.shares.Add(ctx, plan)
	})
}

func (w *fixture) remove() error {
	return w.locked(func() error {
		plan, err := w.shares.PlanRemove(share.RemoveOptions{NameOrPath: "/var/mail"})
		if err != nil {
			return err
		}
		return w.shares.Remove(ctx, plan)
	})
}

func (w *fixture) locked(do func() error) error { return betest.Locked(w.reg, do) }

// recover runs recovery, as the next command does.
func (w *fixture) recover() {
	w.Helper()
	w.open(w.store)
	betest.Recover(w.T, w.reg)
}

// visible returns the path, in the store, of the directory that is visible at the
// running system's /var/mail.
func (w *fixture) visible() string {
	if mounted := w.machine.mounts["/var/mail"]; mounted != "" {
		return mounted
	}
	return "@rootfs/var/mail"
}

// frozen reports whether the visible directory is read-only.
func (w *fixture) frozen() bool {
	sub, err := w.store.Get(w.visible())
	return err == nil && sub.ReadOnly
}

// files returns the files below a directory of the store, with contents.
func (w *fixture) files(dir string) map[string]string {
	w.Helper()
	found := map[string]string{}
	root := w.store.Path(dir)
	check(w.T, filepath.WalkDir(root, func(file string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Type() == os.ModeSymlink {
			return err
		}
		content, err := os.ReadFile(file)
		name, _ := filepath.Rel(root, file)
		found[name] = string(content)
		return err
	}))
	return found
}

func (w *fixture) fstab(env string) string {
	w.Helper()
	text, err := os.ReadFile(w.store.Path(env + "/etc/fstab"))
	check(w.T, err)
	return string(text)
}

// names returns the names of the shares, including shares under construction.
func (w *fixture) names() []string {
	w.Helper()
	all, err := w.store.List(share.Dir)
	check(w.T, err)
	var names []string
	for _, sub := range all {
		names = append(names, strings.TrimPrefix(sub.Path, share.Dir+"/"))
	}
	return names
}

var mail = map[string]string{"al": "one", "same": "one", "lists/debian": "two"}

// isShare checks that /var/mail is a complete share with this content, and the only
// one. isDirectory checks that it is a plain directory.
func (w *fixture) isShare(want map[string]string) {
	w.Helper()
	if got := w.files("@share/mail"); !maps.Equal(got, want) {
		w.Errorf("in the share is %q, want %q", got, want)
	}
	if got := w.files("@rootfs/var/mail"); len(got) > 0 || w.frozen() {
		w.Errorf("below the share is %q; nobody can write to it: %v", got, w.frozen())
	}
	for _, env := range []string{"@rootfs", "@be/other"} {
		if text := w.fstab(env); strings.Count(text, "/var/mail btrfs noatime,subvol=@share/mail") != 1 {
			w.Errorf("the fstab of %s is\n%s", env, text)
		}
	}
	if w.machine.mounts["/var/mail"] != "@share/mail" || !slices.Equal(w.names(), []string{"mail"}) {
		w.Errorf("mounts are %q, shares %q", w.machine.mounts, w.names())
	}
}

func (w *fixture) isDirectory(want map[string]string) {
	w.Helper()
	if got := w.files("@rootfs/var/mail"); !maps.Equal(got, want) {
		w.Errorf("in the directory is %q, want %q", got, want)
	}
	if text := w.fstab("@rootfs"); text != fstabText {
		w.Errorf("the fstab is\n%s", text)
	}
	if w.machine.mounts["/var/mail"] != "" {
		w.Errorf("mounts are %q", w.machine.mounts)
	}
	if sub, err := w.store.Get("@share/mail"); err == nil && sub.ReadOnly {
		w.Error("nobody can write to the share of the other one")
	}
}

func (w *fixture) noJournals() {
	w.Helper()
	entries, err := os.ReadDir(w.store.Path(be.HomeDir + "/journal"))
	check(w.T, err)
	if len(entries) > 0 {
		w.Errorf("there are journals: %v", entries)
	}
}

func TestCandidates(t *testing.T) {
	w := newFixture(t)
	w.write("@rootfs/home/al/file", "x")
	check(t, os.MkdirAll(w.store.Path("@rootfs/srv/empty"), 0o755))
	check(t, w.store.Create("@rootfs/var/lib/machines"))
	w.write("@rootfs/var/lib/machines/file", "x")
	check(t, w.add())
	w.write("@rootfs/var/spool/cron/root", "x")
	if got, err := w.shares.Candidates(); err != nil || !slices.Equal(got, []string{"/home", "/var/spool"}) {
		t.Errorf("Candidates = %q, %v", got, err)
	}
}
