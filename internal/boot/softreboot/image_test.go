package softreboot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// image returns the beginning of an x86 kernel with its build text at an offset.
func image(text string, at int) []byte {
	data := make([]byte, at+len(text)+1)
	copy(data[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(data[0x20e:], uint16(at-0x200))
	copy(data[at:], text)
	return data
}

func TestReadBuild(t *testing.T) {
	if got, err := ReadBuild(bytes.NewReader(image(build, 0x3340))); err != nil || got != build {
		t.Errorf("%q, %v", got, err)
	}
	whole := image(build, 0x3340)
	for name, data := range map[string][]byte{
		"empty":      nil,
		"short":      whole[:0x20f],
		"no magic":   make([]byte, 0x4000),
		"no text":    image("", 0x3340),
		"cut off":    whole[:len(whole)-1],
		"past end":   whole[:0x3000],
		"no pointer": append(image("", 0x300)[:0x20e], make([]byte, 0x400)...),
	} {
		if got, err := ReadBuild(bytes.NewReader(data)); !errors.Is(err, errImage) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
