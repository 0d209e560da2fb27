package grub

import (
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

// quote returns text as one word of GRUB's script language, in single quotes. In them
// only the closing quote has a meaning, so quotes of the text are written outside.
// Control characters become spaces.
func quote(text string) string {
	return "'" + strings.ReplaceAll(boot.OneLine(text), "'", `'\''`) + "'"
}

// word returns text as one word, with quotes only if necessary.
func word(text string) string {
	const harmless = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./_-"
	if text != "" && strings.Trim(text, harmless) == "" {
		return text
	}
	return quote(text)
}
