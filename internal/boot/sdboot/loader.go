package sdboot

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
)

// Loader is the systemd-boot on the EFI system partition mounted at ESP. It
// reads no btrfs, so each boot environment has a copy of its kernel and initrd
// there, in a directory of its own.
type Loader struct{ ESP string }

// Find returns the systemd-boot that boots the running root, or nil.
func Find(root string) *Loader {
	for _, dir := range []string{"efi", "boot/efi", "boot"} { // as bootctl(1) looks for it
		esp := filepath.Join(root, dir)
		if info, err := os.Stat(filepath.Join(esp, "loader/entries")); err == nil && info.IsDir() {
			return &Loader{ESP: esp}
		}
	}
	return nil
}

// String names the loader.
func (l *Loader) String() string { return "systemd-boot" }

// SetEntries makes entries the ones of boot environments in the menu. Files
// are copied before the entry that names them is written, and removed after
// the one that named them.
func (l *Loader) SetEntries(entries []boot.Entry, files boot.Files) error {
	wanted := map[string]bool{}
	for _, entry := range entries {
		id := EntryID(entry.Name)
		wanted[id] = true
		if err := l.put(id, entry, files); err != nil {
			return fmt.Errorf("cannot put %s on the EFI system partition: %w", entry.Name, err)
		}
	}
	old, err := filepath.Glob(filepath.Join(l.ESP, "loader/entries/apt-be-*.conf"))
	if err != nil {
		return err
	}
	for _, file := range old {
		id := strings.TrimSuffix(filepath.Base(file), ".conf")
		if wanted[id] {
			continue
		}
		if err := errors.Join(durable.Remove(file), os.RemoveAll(l.dir(id))); err != nil {
			return err
		}
	}
	return nil
}

func (l *Loader) dir(id string) string { return filepath.Join(l.ESP, "apt-be", id) }

func (l *Loader) put(id string, entry boot.Entry, files boot.Files) error {
	if err := os.MkdirAll(l.dir(id), 0o755); err != nil {
		return err
	}
	for _, file := range []*string{&entry.Kernel, &entry.Initrd} {
		if *file == "" {
			continue
		}
		name := filepath.Base(*file)
		if err := l.copy(files, *file, filepath.Join(l.dir(id), name)); err != nil {
			return err
		}
		*file = "/apt-be/" + id + "/" + name
	}
	name, content, err := Entry(entry)
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(l.ESP, "loader/entries", name), content, 0o644)
}

func (l *Loader) copy(files boot.Files, from, to string) error {
	in, err := files(from)
	if err != nil {
		return err
	}
	defer in.Close()
	temporary := to + ".new"
	out, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(temporary, to)
	}
	if err != nil {
		if removeErr := os.Remove(temporary); !errors.Is(removeErr, fs.ErrNotExist) {
			err = errors.Join(err, removeErr)
		}
		return err
	}
	return durable.SyncDir(filepath.Dir(to))
}
