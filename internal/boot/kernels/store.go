// Package kernels keeps copies of kernels and initrds where a loader reads
// them that does not read the boot environments: on a /boot or an EFI system
// partition of its own. A copy is named by its content, so boot environments
// share those that are the same, and a new kernel never replaces another.
//
// The caller sees to it that there is one writer at a time.
package kernels

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"time"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
)

// Store is the copies on one file system.
type Store struct {
	Dir    string // of that file system, as mounted: absolute, such as /boot or /boot/efi
	Prefix string // Dir as the loader names it; "" where Dir is the root of its file system

	clock func() time.Time // of tests
}

const (
	subdir  = "apt-be"     // in Dir
	index   = "index.json" // in subdir
	partial = ".new"       // ends the name of a copy that is being made
	vmlinuz = "vmlinuz"
	initrd  = "initrd"
)

var ours = regexp.MustCompile(`^[0-9a-f]{16}-(` + vmlinuz + `|` + initrd + `)(\` + partial + `)?$`)

// CheckSpace checks that bytes more of kernels and initrds fit; the error is
// [boot.ErrNoRoom].
func (s Store) CheckSpace(bytes int64) error {
	free, _, err := s.space()
	if err != nil {
		return err
	}
	if bytes > free {
		return noSpace(fmt.Sprintf("cannot put another kernel and initrd on %s", s.Dir), bytes, free)
	}
	return nil
}

// Collect removes all copies but those that keep names by the paths that Put
// returned, and what a crash left of copies.
func (s Store) Collect(keep []boot.Entry) error {
	kept := map[string]bool{}
	for _, entry := range keep {
		for _, file := range []string{entry.Kernel, entry.Initrd} {
			if path.Dir(file) == path.Dir(s.loaderPath("x")) {
				kept[path.Base(file)] = true
			}
		}
	}
	if err := s.remove(func(name string) bool { return !kept[name] }); err != nil {
		return fmt.Errorf("cannot remove kernels that no boot environment needs: %w", err)
	}
	if len(kept) > 0 {
		return nil
	}
	if err := durable.Remove(s.file(index)); err != nil {
		return err
	}
	if left, err := os.ReadDir(s.file("")); err != nil || len(left) > 0 {
		return ignoreMissing(err)
	}
	return durable.Remove(s.file(""))
}

// remove removes those of our files that goes says.
func (s Store) remove(goes func(name string) bool) error {
	found, err := os.ReadDir(s.file(""))
	if err != nil {
		return ignoreMissing(err)
	}
	for _, file := range found {
		name := file.Name()
		if !ours.MatchString(name) && !durable.IsTemporary(name) || !goes(name) {
			continue
		}
		if err := durable.Remove(s.file(name)); err != nil {
			return err
		}
	}
	return nil
}

func (s Store) file(name string) string { return filepath.Join(s.Dir, subdir, name) }

func (s Store) loaderPath(name string) string { return path.Join("/", s.Prefix, subdir, name) }

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
