package fstab

import (
	"slices"
	"strings"
)

// splitOptions splits mount options at commas outside double quotes.
func splitOptions(options string) []string {
	return splitOutsideQuotes(options, func(c byte) bool { return c == ',' })
}

// splitOutsideQuotes splits at each separator that is not in double quotes.
func splitOutsideQuotes(text string, isSeparator func(byte) bool) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case !quoted && isSeparator(text[i]):
			parts = append(parts, text[start:i])
			start = i + 1
		}
	}
	return append(parts, text[start:])
}

// subvolumeOf returns the value of the last subvol= option, which is the effective one.
func subvolumeOf(options string) string {
	found := ""
	for _, option := range splitOptions(options) {
		if value, isSubvol := strings.CutPrefix(option, "subvol="); isSubvol {
			found = strings.Trim(value, `"`)
		}
	}
	return found
}

// setSubvolume returns options with exactly one subvol=, at the position of the first
// one or at the end, and without subvolid=. encode escapes subvol for the file.
func setSubvolume(options, subvol string, encode func(string) string) string {
	subvol = strings.Trim(subvol, "/")
	var kept []string
	placed := false
	for _, option := range splitOptions(options) {
		value, isSubvol := strings.CutPrefix(option, "subvol=")
		switch {
		case strings.HasPrefix(option, "subvolid="), isSubvol && placed:
			continue
		case isSubvol:
			slash := ""
			if strings.HasPrefix(strings.TrimPrefix(value, `"`), "/") {
				slash = "/"
			}
			option = "subvol=" + slash + encode(subvol)
			placed = true
		case option == "" && options == "":
			continue
		}
		kept = append(kept, option)
	}
	if !placed {
		place := len(kept)
		if strings.Count(options, `"`)%2 != 0 {
			place = 0 // after an unclosed quote, it would become a part of the quoted text
		}
		kept = slices.Insert(kept, place, "subvol="+encode(subvol))
	}
	return strings.Join(kept, ",")
}
