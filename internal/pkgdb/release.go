package pkgdb

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
)

// Release returns the name of the operating system in root, such as "Debian GNU/Linux
// 13 (trixie)": PRETTY_NAME of etc/os-release or, without it, of usr/lib/os-release
// (os-release(5)). It has no control characters.
func Release(root string) (string, error) {
	dir, err := openRoot(root)
	if err != nil {
		return "", err
	}
	defer dir.close()

	content, err := dir.read("etc/os-release")
	if err != nil {
		var fallbackErr error
		content, fallbackErr = dir.read("usr/lib/os-release")
		if fallbackErr != nil {
			return "", fmt.Errorf("cannot tell the release: %w", err)
		}
	}
	return prettyName(content), nil
}

// prettyName finds PRETTY_NAME. Its default is Linux (os-release(5)).
func prettyName(osRelease []byte) string {
	name := "Linux"
	for line := range bytes.Lines(osRelease) {
		if value, found := strings.CutPrefix(strings.TrimSpace(string(line)), "PRETTY_NAME="); found {
			name = unquote(value)
		}
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, name)
}

// unquote removes a shell word's quotes and backslashes.
func unquote(word string) string {
	var plain strings.Builder
	var quote byte
	for i := 0; i < len(word); i++ {
		c := word[i]
		switch {
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(word):
			i++
			plain.WriteByte(word[i])
		default:
			plain.WriteByte(c)
		}
	}
	return plain.String()
}
