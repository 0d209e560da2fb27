package sdboot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/efivar"
	"github.com/apt-be/apt-be/internal/boot/kernels"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// Loader is the systemd-boot on the EFI system partition.
type Loader struct {
	ESP     string        // its mount point, such as /boot/efi
	Kernels kernels.Store // on the partition
	Vars    efivar.Vars
}

var _ boot.Loader = (*Loader)(nil)

// New returns the systemd-boot of the running machine. The EFI system partition is
// mounted at esp.
func New(esp string) *Loader {
	return &Loader{ESP: esp, Kernels: kernels.Store{Dir: esp}, Vars: efivar.Vars{Dir: efivar.DefaultDir}}
}

// The variables of the Boot Loader Interface.
const (
	varDefault = "LoaderEntryDefault" // the id of an entry, or a pattern
	varOneShot = "LoaderEntryOneShot" // the same, for the next boot only
)

// String returns the loader's name.
func (l *Loader) String() string { return "systemd-boot" }

func (l *Loader) entry(file string) string { return filepath.Join(l.ESP, "loader/entries", file) }

// CheckSpace checks that further kernels and initrds of that many bytes fit.
func (l *Loader) CheckSpace(bytes int64) error { return l.Kernels.CheckSpace(bytes) }

// Default returns the name of the default entry, or "" if it is not apt-be's or does
// not exist.
func (l *Loader) Default() (string, error) {
	file, err := l.Vars.Get(varDefault)
	if err != nil {
		return "", err
	}
	name := nameOf(strings.TrimSuffix(file, suffix))
	if name == "" {
		return "", nil
	}
	switch _, err := os.Stat(l.entry(file)); {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot determine systemd-boot's default: %w", err)
	}
	return name, nil
}

// SetMenu sets the menu of the next boots. Without entries it removes all of apt-be's,
// and keeps another default. The default is the first entry, then come the others in
// their order, and the trial is the last, which systemd-boot chooses last if the
// default's file is lost. The entry of a running trial stays until Disarm:
// systemd-bless-boot.service fails without it.
func (l *Loader) SetMenu(menu boot.Menu, files boot.Files) error {
	if _, err := os.Stat(filepath.Join(l.ESP, "loader")); err != nil {
		return fmt.Errorf("cannot find systemd-boot's menu, is %s mounted? %w", l.ESP, err)
	}
	isDefault := func(entry boot.Entry) bool { return entry.Name == menu.Default }
	if len(menu.Entries) > 0 && !slices.ContainsFunc(menu.Entries, isDefault) {
		return fmt.Errorf("cannot write systemd-boot's menu: the default %q has no entry", menu.Default)
	}
	nonce := ""
	if menu.Trial != nil {
		if nonce = menu.Trial.Nonce; !validNonce(nonce) {
			return fmt.Errorf("cannot write systemd-boot's menu: the trial's nonce %q is not hexadecimal", nonce)
		}
	}
	put, err := l.Kernels.Put(files, inOrder(menu))
	if err != nil {
		return err
	}
	contents, err := l.contents(put[:len(menu.Entries)], nonce, put[len(menu.Entries):])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.entry(""), 0o755); err != nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(contents)) {
		if err := l.write(file, contents[file]); err != nil {
			return err
		}
	}
	if err := l.setDefault(menu.Default); err != nil {
		return err
	}
	keep := []string{nonce}
	if len(menu.Entries) > 0 {
		keep = append(keep, l.runningTrial())
	}
	if err := errors.Join(l.disarmBut(nonce), l.removeTrials(keep...), l.removeBut(contents)); err != nil {
		return err
	}
	return l.Kernels.Collect(put)
}

// inOrder returns the entries in the order of the menu, with the trial's.
func inOrder(menu boot.Menu) (entries []boot.Entry) {
	for _, entry := range menu.Entries {
		if entry.Name == menu.Default {
			entries = slices.Insert(entries, 0, entry)
		} else {
			entries = append(entries, entry)
		}
	}
	if menu.Trial != nil {
		entries = append(entries, menu.Trial.Entry)
	}
	return entries
}

// contents returns the files of the menu, by name. The file of a taken trial keeps its
// name, which shows that it was taken.
func (l *Loader) contents(entries []boot.Entry, nonce string, trial []boot.Entry) (map[string][]byte, error) {
	contents := map[string][]byte{}
	for i, entry := range entries {
		file, content, err := Entry(entry, fmt.Sprintf("apt-be-%03d", i))
		if err != nil {
			return nil, err
		}
		contents[file] = content
	}
	for _, entry := range trial {
		entry.Title += " (trial)"
		_, content, err := Entry(entry, trialSortKey)
		if err != nil {
			return nil, err
		}
		file, err := l.trialFile(nonce)
		if err != nil {
			return nil, err
		}
		contents[file] = content
	}
	return contents, nil
}

// write writes an entry unless it already has this content.
func (l *Loader) write(file string, content []byte) error {
	if old, err := regular.ReadFile(l.entry(file), regular.State); err == nil && bytes.Equal(old, content) {
		return nil
	}
	return durable.WriteFile(l.entry(file), content, 0o644)
}

func (l *Loader) setDefault(name string) error {
	if name != "" {
		return l.Vars.Set(varDefault, EntryID(name)+suffix)
	}
	if old, err := l.Vars.Get(varDefault); err != nil || !strings.HasPrefix(old, prefix) {
		return err
	}
	return l.Vars.Delete(varDefault)
}

// removeBut removes apt-be's entries except keep and the trials', and the remains of
// interrupted writes.
func (l *Loader) removeBut(keep map[string][]byte) error {
	files, err := os.ReadDir(l.entry(""))
	if err != nil {
		return err
	}
	for _, file := range files {
		name := file.Name()
		isEntry := strings.HasPrefix(name, prefix) && strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, trialPrefix)
		isPart := durable.IsTemporary(name) && strings.Contains(name, prefix)
		if isEntry && keep[name] == nil || isPart {
			err = errors.Join(err, durable.Remove(l.entry(name)))
		}
	}
	return err
}
