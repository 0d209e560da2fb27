// Package efivar reads and writes the EFI variables through which systemd-boot and an
// operating system communicate, through efivarfs (Linux, filesystems/efivarfs).
package efivar

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf16"

	"golang.org/x/sys/unix"
)

const (
	// DefaultDir is the place of efivarfs on Linux.
	DefaultDir = "/sys/firmware/efi/efivars"
	// vendor is the vendor UUID of the Boot Loader Interface,
	// https://systemd.io/BOOT_LOADER_INTERFACE.
	vendor = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
	// attributes are those of new variables: non-volatile (1), visible to the
	// firmware's programs (2) and to the operating system (4).
	attributes = 7
	// probed is the variable that Probe writes.
	probed = "AptBeProbe"
	// immutable is FS_IMMUTABLE_FL of linux/fs.h.
	immutable = 0x10
)

// Vars gives access to the variables of the Boot Loader Interface.
type Vars struct {
	Dir string // the mount point of efivarfs
}

func (v Vars) file(name string) string { return filepath.Join(v.Dir, name+"-"+vendor) }

// Read returns the bytes of a variable without its attributes. The error is
// [fs.ErrNotExist] if the variable does not exist.
func (v Vars) Read(name string) ([]byte, error) {
	data, err := os.ReadFile(v.file(name))
	if err != nil {
		return nil, fmt.Errorf("cannot read the EFI variable %s: %w", name, err)
	}
	if len(data) < 4 { // its write was interrupted
		return nil, fmt.Errorf("cannot read the EFI variable %s: empty variable: %w", name, fs.ErrNotExist)
	}
	return data[4:], nil
}

// Get returns the text of a variable, or "" if it does not exist.
func (v Vars) Get(name string) (string, error) {
	data, err := v.Read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return decode(data), err
}

// Set sets a variable by one write, and checks that the firmware stored it. It does not
// write an equal value, because the memory wears out.
func (v Vars) Set(name, text string) error {
	if data, err := v.Read(name); err == nil && bytes.Equal(data, encode(text)) {
		return nil
	}
	if err := v.write(name, encode(text)); err != nil {
		return fmt.Errorf("cannot set the EFI variable %s: %w", name, err)
	}
	switch got, err := v.Get(name); {
	case err != nil:
		return err
	case got != text:
		return fmt.Errorf("cannot set the EFI variable %s: the firmware did not store it", name)
	}
	return nil
}

// Delete removes a variable. A missing variable is no error.
func (v Vars) Delete(name string) error {
	err := mutable(v.file(name))
	if err == nil {
		err = os.Remove(v.file(name))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot delete the EFI variable %s: %w", name, err)
	}
	return nil
}

// Probe checks that a variable can be written, read and deleted.
func (v Vars) Probe() error {
	if err := v.Set(probed, "1"); err != nil {
		return err
	}
	if err := v.Delete(probed); err != nil {
		return err
	}
	if text, err := v.Get(probed); err != nil || text != "" {
		return fmt.Errorf("cannot delete the EFI variable %s: the firmware did not delete it", probed)
	}
	return nil
}

// Writable checks that efivarfs is mounted and not read-only. It writes nothing, so it
// does not test the firmware.
func (v Vars) Writable() error {
	if err := unix.Access(v.Dir, unix.W_OK); err != nil {
		return fmt.Errorf("cannot write EFI variables: %s: %w", v.Dir, err)
	}
	return nil
}

// write replaces a variable. efivarfs takes attributes and value in one write, without
// a truncation before.
func (v Vars) write(name string, value []byte) error {
	file := v.file(name)
	err := mutable(file)
	isNew := errors.Is(err, fs.ErrNotExist)
	if err != nil && !isNew {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return explain(err)
	}
	_, err = f.Write(append(binary.LittleEndian.AppendUint32(nil, attributes), value...))
	if err = errors.Join(err, f.Close()); err != nil && isNew {
		err = errors.Join(err, os.Remove(file))
	}
	return explain(err)
}

func explain(err error) error {
	if errors.Is(err, unix.ENOSPC) {
		return fmt.Errorf("the firmware has no space for variables: %w", err)
	}
	return err
}

// mutable makes a variable changeable: Linux makes all but a few immutable, because
// some machines do not start without theirs.
func mutable(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetUint32(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EOPNOTSUPP) {
		return nil // the file system has no such flags
	}
	if err != nil || flags&immutable == 0 {
		return err
	}
	return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, int(flags&^immutable))
}

// encode encodes a text for the interface: UTF-16 with a NUL at the end.
func encode(text string) (data []byte) {
	for _, unit := range append(utf16.Encode([]rune(text)), 0) {
		data = binary.LittleEndian.AppendUint16(data, unit)
	}
	return data
}

func decode(data []byte) string {
	var units []uint16
	for ; len(data) >= 2; data = data[2:] {
		unit := binary.LittleEndian.Uint16(data)
		if unit == 0 {
			break
		}
		units = append(units, unit)
	}
	return string(utf16.Decode(units))
}
