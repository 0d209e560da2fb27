package pkgdb

import (
	"bytes"
	"strings"
)

// ReadHistoryErrors returns the errors in apt's history log of newRoot that the log of
// baseRoot lacks, see [HistoryErrors]. A missing log counts as empty.
func ReadHistoryErrors(baseRoot, newRoot string) ([]string, error) {
	var logs [2][]byte
	for i, root := range []string{baseRoot, newRoot} {
		dir, err := openRoot(root)
		if err != nil {
			return nil, err
		}
		logs[i], err = dir.readIfAny(historyFile)
		dir.close()
		if err != nil {
			return nil, err
		}
	}
	return HistoryErrors(logs[0], logs[1]), nil
}

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
