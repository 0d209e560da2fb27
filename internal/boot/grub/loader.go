// Package grub makes the menu of boot environments for GRUB 2, and has it try
// one of them once.
//
// The menu is apt-be.cfg beside grub.cfg, which sources it. Whatever can't be
// written into a menu beforehand is in an environment block, see [Env].
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

// menuName is the file of the menu. It is for root's eyes only, as parameters
// of a kernel may be.
const menuName = "apt-be.cfg"

var errNotInMenu = errors.New("it is not in GRUB's menu")

// Loader is the GRUB whose grub.cfg is in Dir. The caller sees to it that
// there is one writer at a time.
type Loader struct {
	Dir string // absolute, as mounted: that of grub.cfg
	Env Env
	// For a GRUB that does not read the boot environments: the copies of their
	// kernels, and the UUID of the file system on which those are.
	Kernels      *kernels.Store // nil if it reads the environments
	KernelFSUUID string
}

var _ boot.Loader = (*Loader)(nil)

// String names the loader.
func (l *Loader) String() string { return "GRUB" }

// SetMenu implements [boot.Loader]. An armed trial stays armed: one that is no
// more in the menu has no effect, and is the caller's to disarm.
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

// putKernels makes copies of the kernels, if GRUB needs any, and returns menu
// with those.
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

// Remove removes the menu, the environment block and all copies of kernels.
// The grub.cfg has to boot something without them by then.
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

// readMenu reads the menu as it is; nothing if there is none yet.
func (l *Loader) readMenu() ([]byte, error) {
	text, err := regular.ReadFile(l.menuFile(), regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return text, err
}

// bootID names this boot of the machine, see random(4). A probe is named by
// the boot in which it was thought of: in any later one, GRUB has met it.
func bootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id)), err
}
