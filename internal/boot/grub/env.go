package grub

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// The variables of apt-be and its menu in the environment block.
const (
	varArmed   = "apt_be_armed"   // the nonce of the trial that the next boot takes
	varTried   = "apt_be_tried"   // the nonce of the last trial that was taken
	varMissing = "apt_be_missing" // kernel or initrd, if that trial lacked it
	varProbe   = "apt_be_probe"   // the value that GRUB wrote as a test
)

// Env is the environment block through which Linux and GRUB exchange the state of
// trials. It is a separate file: /boot/grub/grubenv belongs to the user.
type Env struct {
	Kind   EnvKind
	Path   string // absolute, as mounted
	FSUUID string // of its file system, for GRUB
	Name   string // the path of the file from the top level of its file system, for GRUB
}

// EnvKind is the access that GRUB has to an environment block.
type EnvKind string

// The kinds.
const (
	NoEnv       EnvKind = ""
	WritableEnv EnvKind = "writable"
	// ReadOnlyEnv is a block on btrfs: GRUB up to 2.12 can write neither files there
	// nor, by a list of blocks, the reserved part of the disk ("sparse file not
	// allowed"). The initramfs of a trial first replaces it by the block of
	// [Env.TriedPath].
	ReadOnlyEnv EnvKind = "read-only"
)

var errNoEnv = errors.New("no file system is suitable for GRUB's environment block: " +
	"GRUB writes to ext4 and to an EFI system partition, but not on RAID, LVM or an encrypted disk")

// TriedPath is the file that replaces a [ReadOnlyEnv] when its trial has started.
func (e Env) TriedPath() string { return e.Path + ".tried" }

// read returns the variables; none if there is no block yet.
func (e Env) read() (Vars, error) {
	if e.Kind == NoEnv {
		return Vars{}, nil
	}
	block, err := regular.ReadFile(e.Path, regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return Vars{}, nil
	}
	if err == nil {
		var vars Vars
		if vars, err = ParseBlock(block); err == nil {
			return vars, nil
		}
	}
	return nil, fmt.Errorf("cannot read GRUB's environment block %s: %w", e.Path, err)
}

// prepare creates the block if it is missing. If GRUB only reads it, it is optional: a
// full disk may have none.
func (e Env) prepare() error {
	if e.Kind == NoEnv {
		return nil
	}
	block, err := regular.ReadFile(e.Path, regular.State)
	if err == nil && len(block) == blockSize {
		if _, err := ParseBlock(block); err == nil {
			return nil
		}
	}
	err = e.create(Vars{})
	if e.Kind == ReadOnlyEnv && durable.Unwritable(err) {
		return nil
	}
	return err
}

// create writes the block as a new file.
func (e Env) create(vars Vars) error {
	block, err := FormatBlock(vars)
	if err != nil {
		return err
	}
	dir := filepath.Dir(e.Path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := durable.SyncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := durable.WriteFile(e.Path, block, 0o600); err != nil {
		return err
	}
	return Settle(dir)
}

// write replaces the block by one write. GRUB's block list must stay valid, so a
// writable block is overwritten in place, without the file system's journal.
func (e Env) write(vars Vars) error {
	if e.Kind == NoEnv {
		return errNoEnv
	}
	info, err := os.Lstat(e.Path)
	if err != nil || e.Kind == ReadOnlyEnv || !info.Mode().IsRegular() || info.Size() != blockSize {
		return e.create(vars)
	}
	block, err := FormatBlock(vars)
	if err != nil {
		return err
	}
	f, err := regular.Open(e.Path, os.O_WRONLY)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(block, 0)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot write GRUB's environment block: %w", err)
	}
	return nil
}

// arm makes the next boot take the trial with this nonce. The last write decides.
func (e Env) arm(nonce string) error {
	vars, err := e.read()
	if err != nil {
		return err
	}
	if e.Kind == ReadOnlyEnv {
		block, err := FormatBlock(Vars{varTried: nonce})
		if err != nil {
			return err
		}
		if err := durable.WriteFile(e.TriedPath(), block, 0o600); err != nil {
			return err
		}
	}
	vars[varArmed] = nonce
	return e.write(vars)
}

// disarm forgets all trials. It replaces an unreadable block. If the write fails, as on
// a full disk, it deletes the block: without one GRUB boots the default.
func (e Env) disarm() error {
	if e.Kind == NoEnv {
		return nil
	}
	vars, err := e.read()
	if err != nil {
		vars = Vars{}
	}
	for _, name := range []string{varArmed, varTried, varMissing} {
		delete(vars, name)
	}
	if err := e.write(vars); err != nil {
		if errors.Join(durable.Remove(e.Path), Settle(filepath.Dir(e.Path))) != nil {
			return err
		}
	}
	if e.Kind != ReadOnlyEnv {
		return nil
	}
	return durable.Remove(e.TriedPath())
}

// remove removes the block and, on an EFI system partition, its directory.
func (e Env) remove() error {
	if e.Kind == NoEnv {
		return nil
	}
	if err := errors.Join(durable.Remove(e.Path), durable.Remove(e.TriedPath())); err != nil {
		return err
	}
	if dir := filepath.Dir(e.Path); filepath.Base(e.Path) == espEnvName && filepath.Base(dir) == espEnvDir {
		return durable.Remove(dir)
	}
	return nil
}
