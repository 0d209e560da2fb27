// Package rebootrequired sets and clears /run/reboot-required, the flag by which
// Debian's packages tell monitors and login messages that a reboot is required. It
// clears only flags that it set.
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
	packagesName = "reboot-required.pkgs" // the packages that asked for the reboot, one per line
	noteName     = "apt-be/reboot-required.json"
)

// Text is the content of the file, as update-notifier writes it.
const Text = "*** System restart required ***\n"

// Flag is the flag of one system.
type Flag struct {
	Dir string // the system's /run
}

// note records the data that Set wrote, so that Clear removes only this data.
type note struct {
	// Time is the time of the last change of the flag. Zero: the flag belongs to
	// others.
	Time     time.Time `json:"time,omitzero"`
	Packages []string  `json:"packages,omitempty"`
}

// Set sets the flag in the name of packages, which may be empty, and replaces an
// earlier Set.
func (f Flag) Set(packages []string) error {
	if err := f.Clear(); err != nil {
		return err
	}
	if err := f.set(note{Time: time.Now().Round(0), Packages: packages}); err != nil {
		return fmt.Errorf("cannot set /run/reboot-required: %w", err)
	}
	return nil
}

func (f Flag) set(n note) error {
	if _, err := os.Lstat(f.path(flagName)); err == nil {
		n.Time = time.Time{}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Write the note first, so that Clear can undo an interrupted Set. /run does not
	// survive a power cut, so nothing is synced.
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

// makeFlag creates the flag with a modification time that identifies it as apt-be's.
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
		return nil // another process created it meanwhile, so it is not apt-be's
	}
	return err
}

// IsSet reports whether the flag exists, regardless of who set it.
func (f Flag) IsSet() bool {
	_, err := os.Lstat(f.path(flagName))
	return err == nil
}

// SetByUs reports whether Set has set the flag and Clear has not cleared it.
func (f Flag) SetByUs() bool {
	_, err := os.Lstat(f.path(noteName))
	return err == nil
}

// Packages returns the packages of the last Set.
func (f Flag) Packages() []string {
	n, err := f.note()
	if err != nil {
		return nil // Clear reports the error
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

// Clear removes the data that Set wrote. The flag stays if another process has written
// it, or if a package asked for a reboot.
func (f Flag) Clear() error {
	n, err := f.note()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.clear(n)
	}
	if err != nil {
		return fmt.Errorf("cannot clear /run/reboot-required: %w", err)
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

// isOurs reports whether no other process or package needs the flag.
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

// editPackages changes the list of packages, and deletes an empty list.
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
