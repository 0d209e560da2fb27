package grub

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Vars are the variables of an environment block.
type Vars map[string]string

// blockSize is the size in bytes of every environment block.
const blockSize = 1024

const signature = "# GRUB Environment Block\n"

var (
	errNoBlock  = errors.New("not an environment block of GRUB")
	errBlockBig = errors.New("GRUB's environment block has no space left")
)

// ParseBlock reads an environment block as GRUB's lib/envblk.c does (2.06 and 2.12):
// one line for each variable, in whose value a backslash escapes a backslash or a
// newline, then number signs up to the end.
func ParseBlock(block []byte) (Vars, error) {
	rest, found := bytes.CutPrefix(block, []byte(signature))
	if !found {
		return nil, errNoBlock
	}
	vars := Vars{}
	for len(rest) > 0 {
		line, after, ended := cutLine(rest)
		if !ended {
			break // the padding, or an incomplete line
		}
		rest = after
		if name, value, found := strings.Cut(line, "="); found && !strings.HasPrefix(line, "#") {
			vars[name] = value
		}
	}
	return vars, nil
}

// cutLine returns the text up to the first unescaped newline, without the escapes.
func cutLine(text []byte) (line string, after []byte, ended bool) {
	var plain []byte
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\n':
			return string(plain), text[i+1:], true
		case '\\':
			i++
		}
		if i < len(text) {
			plain = append(plain, text[i])
		}
	}
	return string(plain), nil, false
}

// FormatBlock writes an environment block. All of apt-be's variables together are in
// its first 512 bytes, the minimum size of a disk's sector, so a disk never stores half
// of a change.
func FormatBlock(vars Vars) ([]byte, error) {
	var block bytes.Buffer
	block.WriteString(signature)
	escape := strings.NewReplacer(`\`, `\\`, "\n", "\\\n")
	for _, name := range slices.Sorted(maps.Keys(vars)) {
		fmt.Fprintf(&block, "%s=%s\n", name, escape.Replace(vars[name]))
	}
	padding := blockSize - block.Len()
	if padding < 0 {
		return nil, errBlockBig
	}
	return append(block.Bytes(), bytes.Repeat([]byte("#"), padding)...), nil
}
