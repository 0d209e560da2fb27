// Package kernels keeps copies of kernels and initrds on a separate /boot or an EFI
// system partition, for a loader that cannot read the boot environments. A copy is
// named by its content, so boot environments share equal copies, and a new kernel never
// replaces another.
//
// The caller must ensure that there is only one writer at a time.
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

// Store has the copies on one file system.
type Store struct {
	Dir    string // the mount point of that file system: absolute, such as /boot or /boot/efi
	Prefix string // Dir as the loader names it; "" if Dir is the root of its file system

	clock func() time.Time // for tests
}

const (
	subdir  = "apt-be"     // in Dir
	index   = "index.json" // in subdir
	partial = ".new"       // suffix of a copy in progress
	vmlinuz = "vmlinuz"
	initrd  = "initrd"
)

var ours = regexp.MustCompile(`^[0-9a-f]{16}-(` + vmlinuz + `|` + initrd + `)(\` + partial + `)?$`)

// CheckSpace checks that further kernels and initrds of that many bytes fit; the error
// is [boot.ErrNoSpace].
func (s Store) CheckSpace(bytes int64) error {
	free, _, err := s.space()
	if err != nil {
		return err
	}
	if bytes > free {
		return noSpace(fmt.Sprintf("cannot store another kernel and initrd on %s", s.Dir), bytes, free)
	}
	return nil
}

// Collect removes all copies except those of the entries keep, whose paths Put
// returned, and the remains of interrupted copies.
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
		return fmt.Errorf("cannot remove unneeded kernels: %w", err)
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

// remove removes those of apt-be's files for which goes is true.
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
