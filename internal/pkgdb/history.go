package pkgdb

import (
	"bytes"
	"strings"
)

// ReadHistoryErrors returns what apt's history log of newRoot has as errors
// beyond that of baseRoot, see [HistoryErrors]. A root without a log has an
// empty one.
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

// HistoryErrors returns the values of the Error fields that apt's history.log
// has in new beyond old. libapt writes one for each run of dpkg that failed,
// whatever the frontend and its exit status. If new doesn't go on where old
// ends, because the log was rotated between, all of new counts.
func HistoryErrors(old, new []byte) []string {
	if bytes.HasPrefix(new, old) {
		// A last line that was not complete in old is new.
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
