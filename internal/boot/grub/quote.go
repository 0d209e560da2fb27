package grub

import (
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
)

// quote writes text as one word of GRUB's script language, in single quotes:
// nothing has a meaning in them but the quote that ends them, so that is
// written outside. Control characters become spaces.
func quote(text string) string {
	return "'" + strings.ReplaceAll(boot.OneLine(text), "'", `'\''`) + "'"
}

// word writes text as one word, with quotes only where it needs them.
func word(text string) string {
	const harmless = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789@%+=:,./_-"
	if text != "" && strings.Trim(text, harmless) == "" {
		return text
	}
	return quote(text)
}
