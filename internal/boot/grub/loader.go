// Package grub writes the menu of boot environments for GRUB 2, and makes GRUB try one
// of them once.
//
// The menu is apt-be.cfg beside grub.cfg, which sources it. State that changes without
// a new menu is in an environment block, see [Env].
package grub

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/kernels"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// menuName is the name of the menu's file. Only root can read it, because kernel
// parameters may be secret.
const menuName = "apt-be.cfg"

var errNotInMenu = errors.New("it is not in GRUB's menu")

// Loader is the GRUB whose grub.cfg is in Dir. The caller must ensure that there is
// only one writer at a time.
type Loader struct {
	Dir string // the directory of grub.cfg: absolute, as mounted
	Env Env
	// For a GRUB that cannot read the boot environments: the copies of their kernels,
	// and the UUID of the file system with the copies.
	Kernels      *kernels.Store // nil if it reads the environments
	KernelFSUUID string
}

var _ boot.Loader = (*Loader)(nil)

// String returns the loader's name.
func (l *Loader) String() string { return "GRUB" }

// SetMenu implements [boot.Loader]. An armed trial stays armed. A trial that is no
// longer in the menu has no effect; the caller disarms it.
func (l *Loader) SetMenu(menu boot.Menu, files boot.Files) error {
	old, err := l.readMenu()
	if err != nil {
		return err
	}
	probe := parseHeader(old).probe
	if probe == "" {
		if probe, err = bootID(); err != nil {
			return err
		}
	}
	menu, err = l.putKernels(menu, files)
	if err != nil {
		return err
	}
	text, err := config{menu: menu, env: l.Env, probe: probe, kernelFSUUID: l.KernelFSUUID}.text()
	if err != nil {
		return err
	}
	if err := l.Env.prepare(); err != nil {
		return fmt.Errorf("cannot make an environment block for GRUB: %w", err)
	}
	if !bytes.Equal(old, text) {
		if err := durable.WriteFile(l.menuFile(), text, 0o600); err != nil {
			return err
		}
	}
	if err := Settle(l.Dir); err != nil {
		return err
	}
	if l.Kernels == nil {
		return nil
	}
	return l.Kernels.Collect(allEntries(menu))
}

// putKernels copies the kernels, if GRUB needs copies, and returns menu with their
// paths.
func (l *Loader) putKernels(menu boot.Menu, files boot.Files) (boot.Menu, error) {
	if l.Kernels == nil {
		return menu, nil
	}
	copied, err := l.Kernels.Put(files, allEntries(menu))
	if err != nil {
		return menu, err
	}
	count := len(menu.Entries)
	if menu.Trial != nil {
		menu.Trial = &boot.Trial{Entry: copied[count], Nonce: menu.Trial.Nonce}
	}
	menu.Entries = copied[:count]
	return menu, Settle(l.Kernels.Dir)
}

func allEntries(menu boot.Menu) []boot.Entry {
	all := slices.Clone(menu.Entries)
	if menu.Trial != nil {
		all = append(all, menu.Trial.Entry)
	}
	return all
}

// Remove removes the menu, the environment block and all copies of kernels. The
// grub.cfg must already boot without them.
func (l *Loader) Remove() error {
	if err := durable.Remove(l.menuFile()); err != nil {
		return err
	}
	if err := l.Env.remove(); err != nil {
		return err
	}
	if err := Settle(l.Dir); err != nil || l.Kernels == nil {
		return err
	}
	return l.Kernels.Collect(nil)
}

// Default implements [boot.Loader].
func (l *Loader) Default() (string, error) {
	text, err := l.readMenu()
	return parseHeader(text).fallback, err
}

// CheckSpace implements [boot.Loader].
func (l *Loader) CheckSpace(bytes int64) error {
	if l.Kernels == nil {
		return nil
	}
	return l.Kernels.CheckSpace(bytes)
}

func (l *Loader) menuFile() string { return filepath.Join(l.Dir, menuName) }

// readMenu reads the current menu; nothing if there is none yet.
func (l *Loader) readMenu() ([]byte, error) {
	text, err := regular.ReadFile(l.menuFile(), regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// bootID identifies this boot of the machine, see random(4). A probe is named after the
// boot in which it was written, because GRUB does it at any later boot.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}
