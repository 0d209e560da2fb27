// Package rebootrequired tells the running system's monitors and login messages
// that a reboot is due, as packages of Debian do by /run/reboot-required, and
// takes back what it told, and nothing that others did.
package rebootrequired

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

const (
	flagName     = "reboot-required"
	packagesName = "reboot-required.pkgs" // the packages that asked for it, one a line
	noteName     = "apt-be/reboot-required.json"
)

// Text is what the file says, as that of update-notifier does.
const Text = "*** System restart required ***\n"

// Flag is that of a system.
type Flag struct {
	Dir string // its /run
}

// note is what was written by Raise, so that just that can be taken back.
type note struct {
	// Time is when the flag was changed last. Zero: somebody else's was there.
	Time     time.Time `json:"time,omitzero"`
	Packages []string  `json:"packages,omitempty"`
}

// Set asks for a reboot in the name of packages, which may be none, instead
// of what it was asked for before.
func (f Flag) Set(packages []string) error {
	if err := f.Clear(); err != nil {
		return err
	}
	if err := f.set(note{Time: time.Now().Round(0), Packages: packages}); err != nil {
		return fmt.Errorf("cannot tell the running system that a reboot is due: %w", err)
	}
	return nil
}

func (f Flag) set(n note) error {
	if _, err := os.Lstat(f.path(flagName)); err == nil {
		n.Time = time.Time{}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// First of all: what is cut off is taken back all the same. Nothing in /run
	// outlives a power cut, so nothing is synced.
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path(noteName)), 0o755); err != nil {
		return err
	}
	if err := durable.WriteFileLater(f.path(noteName), data, 0o644); err != nil {
		return err
	}
	if !n.Time.IsZero() {
		if err := f.makeFlag(n.Time); err != nil {
			return err
		}
	}
	if len(n.Packages) == 0 {
		return nil
	}
	return f.editPackages(func(lines []string) []string { return append(lines, n.Packages...) })
}

// makeFlag makes the flag with its time, by which it is known for this one's.
func (f Flag) makeFlag(when time.Time) error {
	file, err := os.CreateTemp(f.Dir, "."+flagName+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(Text)
	if err = errors.Join(err, file.Chmod(0o644), file.Close()); err != nil {
		return err
	}
	if err := os.Chtimes(file.Name(), when, when); err != nil {
		return err
	}
	err = os.Link(file.Name(), f.path(flagName))
	if errors.Is(err, fs.ErrExist) {
		return nil // somebody asked in this instant; it is not this one's then
	}
	return err
}

// IsSet says whether a reboot is due, whoever says so.
func (f Flag) IsSet() bool {
	_, err := os.Lstat(f.path(flagName))
	return err == nil
}

// SetByUs says whether Raise asked for a reboot and that was not withdrawn.
func (f Flag) SetByUs() bool {
	_, err := os.Lstat(f.path(noteName))
	return err == nil
}

// Packages are those in whose name Raise asked for a reboot.
func (f Flag) Packages() []string {
	n, err := f.note()
	if err != nil {
		return nil // Withdraw says so
	}
	return n.Packages
}

func (f Flag) note() (n note, err error) {
	data, err := regular.ReadFile(f.path(noteName), regular.State)
	if err == nil {
		err = json.Unmarshal(data, &n)
	}
	return n, err
}

// Clear takes back what Raise wrote. The flag stays if somebody else has
// written it, or any package has asked.
func (f Flag) Clear() error {
	n, err := f.note()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.clear(n)
	}
	if err != nil {
		return fmt.Errorf("cannot take back that a reboot is due: %w", err)
	}
	return nil
}

func (f Flag) clear(n note) error {
	err := f.editPackages(func(lines []string) []string {
		for _, name := range n.Packages {
			if i := slices.Index(lines, name); i >= 0 {
				lines = slices.Delete(lines, i, i+1)
			}
		}
		return lines
	})
	if err != nil {
		return err
	}
	ours, err := f.isOurs(n)
	if err != nil {
		return err
	}
	if ours {
		if err := os.Remove(f.path(flagName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(f.path(noteName))
}

// isOurs says whether nobody else wants the flag by now.
func (f Flag) isOurs(n note) (bool, error) {
	info, err := os.Lstat(f.path(flagName))
	if errors.Is(err, fs.ErrNotExist) || n.Time.IsZero() {
		return false, nil
	}
	if err != nil || !info.ModTime().Equal(n.Time) {
		return false, err
	}
	_, err = os.Lstat(f.path(packagesName))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// editPackages changes the list of packages; without any there is no list.
func (f Flag) editPackages(change func(lines []string) []string) error {
	data, err := regular.ReadFile(f.path(packagesName), regular.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	old := strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
	lines := change(slices.Clone(old))
	switch {
	case slices.Equal(lines, old):
		return nil
	case len(lines) == 0:
		return os.Remove(f.path(packagesName))
	}
	return durable.WriteFileLater(f.path(packagesName), []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}

func (f Flag) path(name string) string { return filepath.Join(f.Dir, name) }
