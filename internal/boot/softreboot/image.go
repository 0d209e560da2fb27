package softreboot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errImage reports that a file is not a kernel image with a readable build.
var errImage = errors.New("not a kernel image for x86")

// ReadBuild returns the Linux build of an image for x86: its release and version as
// uname -r and -v print them, with the builder between, such as "6.12.48+deb13-amd64
// (debian-kernel@lists.debian.org) #1 SMP …". The format is in the kernel's
// Documentation/arch/x86/boot.rst.
func ReadBuild(image io.ReaderAt) (string, error) {
	const (
		magicAt   = 0x202
		pointerAt = 0x20e // 0x200 less than the offset of the text
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
