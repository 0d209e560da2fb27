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

// The variables of the environment block that apt-be and its part of GRUB's
// menu have.
const (
	varArmed   = "apt_be_armed"   // the nonce of the trial that the next boot takes
	varTried   = "apt_be_tried"   // that of the last one that was taken
	varMissing = "apt_be_missing" // kernel or initrd, if that one had none
	varProbe   = "apt_be_probe"   // what GRUB wrote to show that it can
)

// Env is the environment block by which Linux and GRUB tell each other of
// trials: a file of its own. The one in /boot/grub/grubenv is the user's.
type Env struct {
	Kind   EnvKind
	Path   string // as mounted, absolute
	FSUUID string // of its file system, by which GRUB finds that
	Name   string // of the file from the top of its file system, as GRUB has it
}

// EnvKind is what GRUB can do with an environment block.
type EnvKind string

// The kinds.
const (
	NoEnv       EnvKind = ""
	WritableEnv EnvKind = "writable"
	// ReadOnlyEnv is one on btrfs: GRUB up to 2.12 can write neither files
	// there nor, as a list of blocks, the part of the disk that btrfs leaves
	// free ("sparse file not allowed"). The initramfs of a trial puts the block
	// of [Env.TriedPath] in its place, before all else.
	ReadOnlyEnv EnvKind = "read-only"
)

var errNoEnv = errors.New("there is no file system for GRUB's environment block: " +
	"GRUB writes to ext4 or to an EFI system partition, and not on RAID, LVM or an encrypted disk")

// TriedPath is the file that takes the place of a [ReadOnlyEnv] when its trial
// has begun.
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

// prepare sees to it that there is a block. GRUB can do without one that it only
// reads: on a full disk there is none.
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

// write replaces the block by one write. GRUB finds a writable one where it
// was, so that one is overwritten in place: no journal has a part in it.
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

// arm makes nonce the trial that the next boot takes. The last write is the
// one that does it.
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

// disarm forgets all trials. A block that can't be read is written anew, and one
// that can't be written, as on a full disk, goes: without one GRUB boots the
// default.
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
