package pkgdb

import (
	"bytes"
	"strings"
)

// HistoryErrors returns the values of the Error fields that apt's history.log has in
// new but not in old. libapt writes one for each failed run of dpkg, whatever the
// frontend and its exit status. If new does not continue old, because the log was
// rotated between, all of new counts.
func HistoryErrors(old, new []byte) []string {
	if bytes.HasPrefix(new, old) {
		// An incomplete last line of old is new.
		new = new[bytes.LastIndexByte(old, '\n')+1:]
	}
	var found []string
	for line := range bytes.Lines(new) {
		if value, isError := strings.CutPrefix(string(line), "Error:"); isError {
			found = append(found, strings.TrimSpace(value))
		}
	}
	return found
}
