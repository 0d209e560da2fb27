package grub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
)

// Loader is the GRUB whose grub.cfg is in Dir. Its entries go to custom.cfg
// beside that, which grub.cfg sources when the machine boots: no update-grub
// is needed.
type Loader struct{ Dir string }

// Find returns the GRUB that boots the running root, or nil.
func Find(root string) *Loader {
	dir := filepath.Join(root, "boot/grub")
	if _, err := os.Stat(filepath.Join(dir, "grub.cfg")); err != nil {
		return nil
	}
	return &Loader{Dir: dir}
}

// String names the loader.
func (l *Loader) String() string { return "GRUB" }

// SetEntries makes entries the ones of boot environments in the menu.
func (l *Loader) SetEntries(entries []boot.Entry, _ boot.Files) error {
	file := filepath.Join(l.Dir, "custom.cfg")
	old, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot read GRUB's menu: %w", err)
	}
	text, err := CustomEntries(old, entries)
	if err != nil {
		return err
	}
	if len(text) == 0 {
		return durable.Remove(file)
	}
	return durable.WriteFile(file, text, 0o644)
}
