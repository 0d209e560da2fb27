package grub

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/kernels"
	"github.com/apt-be/apt-be/internal/durable"
)

func loader(t *testing.T, kind EnvKind) *Loader {
	t.Helper()
	dir := t.TempDir()
	env := Env{Kind: kind, Path: filepath.Join(dir, "apt-be.env"), FSUUID: fsUUID, Name: "/@grub/apt-be.env"}
	return &Loader{Dir: dir, Env: env}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantState(t *testing.T, l *Loader, want boot.State) {
	t.Helper()
	if got, err := l.State(); err != nil || got != want {
		t.Errorf("state %+v, %v, want %+v", got, err, want)
	}
}

func menu() boot.Menu {
	a, b := entry("a", "A"), entry("b", "B")
	return boot.Menu{Entries: []boot.Entry{a, b}, Default: "a", Trial: trial(b)}
}

const nonce = "0123456789abcdef"

func TestLoader(t *testing.T) {
	for _, kind := range []EnvKind{WritableEnv, ReadOnlyEnv} {
		l := loader(t, kind)
		if name, err := l.Default(); name != "" || err != nil {
			t.Errorf("default without a menu: %q, %v", name, err)
		}
		wantState(t, l, boot.State{})
		if err := l.Arm(nonce); !errors.Is(err, errNotInMenu) {
			t.Errorf("armed without a menu: %v", err)
		}
		must(t, l.SetMenu(menu(), nil))
		if name, err := l.Default(); name != "a" || err != nil {
			t.Errorf("default: %q, %v", name, err)
		}
		if info, err := os.Stat(l.Env.Path); err != nil || info.Size() != blockSize {
			t.Errorf("environment block: %v, %v", info, err)
		}
		for _, other := range []string{"", "fedcba9876543210"} {
			if err := l.Arm(other); !errors.Is(err, errNotInMenu) {
				t.Errorf("armed %q: %v", other, err)
			}
		}
		must(t, l.Arm(nonce))
		wantState(t, l, boot.State{Armed: nonce})
		must(t, l.SetMenu(menu(), nil))
		wantState(t, l, boot.State{Armed: nonce})
		must(t, l.Disarm())
		wantState(t, l, boot.State{})
		must(t, l.Disarm())
		must(t, l.Remove())
		if left, err := os.ReadDir(l.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s: left: %v, %v", kind, left, err)
		}
	}
}

// The initramfs of a trial only has to rename a file.
func TestRenameMarksTried(t *testing.T) {
	l := loader(t, ReadOnlyEnv)
	must(t, l.SetMenu(menu(), nil))
	must(t, l.Arm(nonce))
	must(t, os.Rename(l.Env.TriedPath(), l.Env.Path))
	wantState(t, l, boot.State{Tried: nonce})
	must(t, l.Disarm())
	wantState(t, l, boot.State{})
}

// GRUB can forget its trial on a full disk, and the menu can be written again.
func TestFullDisk(t *testing.T) {
	for _, kind := range []EnvKind{WritableEnv, ReadOnlyEnv} {
		l := loader(t, kind)
		must(t, l.SetMenu(menu(), nil))
		must(t, l.Arm(nonce))
		durable.Before = func(string) error { return syscall.ENOSPC }
		t.Cleanup(func() { durable.Before = nil })
		must(t, l.Disarm())
		wantState(t, l, boot.State{})
		must(t, l.SetMenu(menu(), nil))
		must(t, l.Disarm())
		if err := l.Arm(nonce); kind == ReadOnlyEnv && !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("armed on a full disk: %v", err)
		}
		durable.Before = nil
		must(t, l.Arm(nonce))
		wantState(t, l, boot.State{Armed: nonce})
	}
}

func TestNoEnv(t *testing.T) {
	l := &Loader{Dir: t.TempDir()}
	must(t, l.SetMenu(menu(), nil))
	if err := l.Arm(nonce); !errors.Is(err, errNoEnv) {
		t.Error(err)
	}
	must(t, l.Disarm())
	wantState(t, l, boot.State{})
	if level, why := l.Level(); level != boot.LevelNone || why == "" {
		t.Error(level, why)
	}
}

func TestBrokenBlock(t *testing.T) {
	l := loader(t, WritableEnv)
	must(t, l.SetMenu(menu(), nil))
	must(t, os.WriteFile(l.Env.Path, make([]byte, blockSize), 0o600))
	if state, err := l.State(); !errors.Is(err, errNoBlock) {
		t.Error(state, err)
	}
	must(t, l.Disarm())
	wantState(t, l, boot.State{})
}

// A writable environment block is changed in place, because GRUB reads no journal.
func TestInPlace(t *testing.T) {
	l := loader(t, WritableEnv)
	must(t, l.SetMenu(menu(), nil))
	before, err := os.Stat(l.Env.Path)
	must(t, err)
	must(t, l.Arm(nonce))
	after, err := os.Stat(l.Env.Path)
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("arming made another file")
	}
}

func TestLevel(t *testing.T) {
	l := loader(t, ReadOnlyEnv)
	if level, _ := l.Level(); level != boot.LevelInitramfs {
		t.Error(level)
	}
	l = loader(t, WritableEnv)
	must(t, l.SetMenu(menu(), nil))
	level, why := l.Level()
	if level != boot.LevelKernel || !strings.Contains(why, "the next boot tests") {
		t.Error(level, why)
	}
	text, err := l.readMenu()
	must(t, err)
	must(t, l.Env.write(Vars{varProbe: parseHeader(text).probe}))
	if _, why := l.Level(); !strings.Contains(why, "(tested: it has written there)") {
		t.Error(why)
	}
	must(t, l.SetMenu(boot.Menu{}, nil)) // the probe stays the same
	if _, why := l.Level(); !strings.Contains(why, "(tested: it has written there)") {
		t.Error(why)
	}
	must(t, os.WriteFile(l.menuFile(), []byte(header{probe: "of an earlier boot"}.String()), 0o600))
	if _, why := l.Level(); !strings.Contains(why, "has not written there, although") {
		t.Error(why)
	}
}

func TestCopies(t *testing.T) {
	l := loader(t, WritableEnv)
	l.Kernels = &kernels.Store{Dir: l.Dir}
	l.KernelFSUUID = "7-8"
	files := func(path string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader("content of " + path)), nil
	}
	must(t, l.SetMenu(menu(), files))
	text, err := l.readMenu()
	must(t, err)
	if strings.Contains(string(text), "/@be/b/boot") || !strings.Contains(string(text), "--set=root 7-8\n") {
		t.Errorf("not a menu of copies:\n%s", text)
	}
	if err := check(t, string(text)); err != nil {
		t.Error(err)
	}
	copies, err := filepath.Glob(filepath.Join(l.Dir, "apt-be/*-vmlinuz"))
	if err != nil || len(copies) != 2 {
		t.Errorf("copies: %v, %v", copies, err)
	}
	if err := l.CheckSpace(1 << 60); !errors.Is(err, boot.ErrNoSpace) {
		t.Error(err)
	}
	must(t, l.Remove())
	if left, err := os.ReadDir(l.Dir); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
