package softreboot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errImage says that a file is no kernel whose build can be read.
var errImage = errors.New("no kernel image for x86")

// ReadBuild reads what build of Linux an image for x86 is: its release and
// its version as uname -r and -v say them, with the builder between, such as
// "6.12.48+deb13-amd64 (debian-kernel@lists.debian.org) #1 SMP …". The format
// is that of the kernel's Documentation/arch/x86/boot.rst.
func ReadBuild(image io.ReaderAt) (string, error) {
	const (
		magicAt   = 0x202
		pointerAt = 0x20e // 0x200 less than where the text begins
		size      = 0x210
		limit     = 512 // more than three strings of utsname
	)
	header := make([]byte, size)
	if _, err := image.ReadAt(header, 0); err != nil {
		return "", fmt.Errorf("%w: %w", errImage, err)
	}
	start := int64(binary.LittleEndian.Uint16(header[pointerAt:]))
	if string(header[magicAt:magicAt+4]) != "HdrS" || start == 0 {
		return "", errImage
	}
	text := make([]byte, limit)
	n, err := image.ReadAt(text, start+0x200)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("%w: %w", errImage, err)
	}
	build, _, terminated := bytes.Cut(text[:n], []byte{0})
	if !terminated || len(build) == 0 {
		return "", errImage
	}
	return string(build), nil
}
