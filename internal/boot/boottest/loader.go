// Package boottest has a boot loader for tests. It keeps its menu and its state in a
// directory, and its firmware boots accordingly.
package boottest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
)

// ErrCut is the error of each call after a Loader was cut off.
var ErrCut = errors.New("cut off")

// Loader is a boot.Loader in a directory.
type Loader struct {
	Dir string
	// Cut, if not nil, reports before and after each write whether the power fails:
	// after that, nothing is written.
	Cut  func() bool
	Free int64 // bytes for kernels; 0 for no limit
	Weak bool  // the initramfs must end a trial
	cut  bool
}

var _ boot.Loader = (*Loader)(nil)

// String returns its name.
func (l *Loader) String() string { return "the loader of a test" }

// SetMenu keeps a menu whose default is one of its entries.
func (l *Loader) SetMenu(menu boot.Menu, _ boot.Files) error {
	for _, e := range menu.Entries {
		if e.Name == menu.Default {
			return l.write("menu.json", menu)
		}
	}
	return fmt.Errorf("cannot set a menu: %q is not among its entries", menu.Default)
}

// Menu returns the menu of SetMenu.
func (l *Loader) Menu() (menu boot.Menu, err error) { return menu, l.read("menu.json", &menu) }

// Default returns the menu's default.
func (l *Loader) Default() (string, error) {
	menu, err := l.Menu()
	return menu.Default, err
}

// CheckSpace compares bytes with Free.
func (l *Loader) CheckSpace(bytes int64) error {
	if l.Free > 0 && bytes > l.Free {
		return fmt.Errorf("cannot put a kernel there: %w", boot.ErrNoSpace)
	}
	return nil
}

// Level returns the best level, unless the loader is weak.
func (l *Loader) Level() (boot.Level, string) {
	if l.Weak {
		return boot.LevelInitramfs, "it is a test"
	}
	return boot.LevelKernel, "it is a test"
}

// Arm arms a trial.
func (l *Loader) Arm(nonce string) error { return l.write("state.json", boot.State{Armed: nonce}) }

// Disarm forgets everything. Like every loader, it works on a full disk.
func (l *Loader) Disarm() error {
	if l.off() {
		return ErrCut
	}
	if err := durable.Remove(filepath.Join(l.Dir, "state.json")); err != nil {
		return err
	}
	if l.off() {
		return ErrCut
	}
	return nil
}

// State returns the state.
func (l *Loader) State() (state boot.State, err error) {
	menu, err := l.Menu()
	if err != nil {
		return state, err
	}
	err = l.read("state.json", &state)
	if menu.Trial == nil || menu.Trial.Nonce != state.Armed {
		state.Armed = ""
	}
	return state, err
}

// PowerOn does what firmware and loader do: it takes and records the armed trial, if
// the menu has it; otherwise it takes the default. nonce is the trial's nonce, or "".
func (l *Loader) PowerOn() (name, nonce string, err error) {
	l.Cut, l.cut = nil, false
	menu, err := l.Menu()
	if err != nil {
		return "", "", err
	}
	state, err := l.State()
	if err != nil {
		return "", "", err
	}
	if menu.Trial == nil || state.Armed == "" || state.Armed != menu.Trial.Nonce {
		return menu.Default, "", nil
	}
	return menu.Trial.Entry.Name, state.Armed, l.write("state.json", boot.State{Tried: state.Armed})
}

func (l *Loader) read(name string, into any) error {
	data, err := os.ReadFile(filepath.Join(l.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}

func (l *Loader) write(name string, value any) error {
	if l.off() {
		return ErrCut
	}
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := durable.WriteFile(filepath.Join(l.Dir, name), data, 0o644); err != nil {
		return err
	}
	if l.off() {
		return ErrCut
	}
	return nil
}

func (l *Loader) off() bool {
	if !l.cut && l.Cut != nil {
		l.cut = l.Cut()
	}
	return l.cut
}
