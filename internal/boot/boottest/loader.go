// Package boottest has a boot loader for tests, which keeps its menu and what
// it remembers in a directory, and a firmware that boots what it says.
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

// ErrCut is what a Loader returns from the moment that it was cut off.
var ErrCut = errors.New("cut off")

// Loader is a boot.Loader in a directory.
type Loader struct {
	Dir string
	// Cut says, if not nil, before each write and after it whether the power
	// goes: nothing is written from then on.
	Cut  func() bool
	Free int64 // bytes for kernels; 0 for any number
	Weak bool  // leaves it to the initramfs to end a trial
	cut  bool
}

var _ boot.Loader = (*Loader)(nil)

// String names it.
func (l *Loader) String() string { return "the loader of a test" }

// SetMenu keeps a menu whose default is among its entries.
func (l *Loader) SetMenu(menu boot.Menu, _ boot.Files) error {
	for _, e := range menu.Entries {
		if e.Name == menu.Default {
			return l.write("menu.json", menu)
		}
	}
	return fmt.Errorf("cannot set a menu: %q is not among its entries", menu.Default)
}

// Menu is what SetMenu has kept.
func (l *Loader) Menu() (menu boot.Menu, err error) { return menu, l.read("menu.json", &menu) }

// Default is that of the menu.
func (l *Loader) Default() (string, error) {
	menu, err := l.Menu()
	return menu.Default, err
}

// CheckSpace compares with Free.
func (l *Loader) CheckSpace(bytes int64) error {
	if l.Free > 0 && bytes > l.Free {
		return fmt.Errorf("cannot put a kernel there: %w", boot.ErrNoSpace)
	}
	return nil
}

// Level is the best one, unless the loader is weak.
func (l *Loader) Level() (boot.Level, string) {
	if l.Weak {
		return boot.LevelInitramfs, "it is a test"
	}
	return boot.LevelKernel, "it is a test"
}

// Arm arms a trial.
func (l *Loader) Arm(nonce string) error { return l.write("state.json", boot.State{Armed: nonce}) }

// Disarm forgets all. As with every loader, a disk may be full.
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

// State is what is remembered.
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

// PowerOn does what firmware and loader do: it takes the trial that is armed,
// if the menu has it, and remembers that; or else the default. nonce is that
// of the trial or "".
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
