package cli

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/ui"
)

// NewLog returns the log of diagnostics, in the format of apt-be's notices.
func NewLog(w io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(w)
	log.SetFormatter(voice{})
	log.SetLevel(logrus.WarnLevel)
	return log
}

// voice formats log entries as a ui.Notice.
type voice struct{}

// Format implements logrus.Formatter. The entry's error follows a colon, as in an
// error's text.
func (voice) Format(entry *logrus.Entry) ([]byte, error) {
	text := entry.Message
	for _, key := range slices.Sorted(maps.Keys(entry.Data)) {
		if key == logrus.ErrorKey {
			text += fmt.Sprintf(": %v", entry.Data[key])
		} else {
			text += fmt.Sprintf(" (%s: %v)", key, entry.Data[key])
		}
	}
	var line bytes.Buffer
	notice := ui.NewNotice(&line, false)
	if entry.Level <= logrus.WarnLevel {
		notice.Warn("%s", text)
	} else {
		notice.Say("%s", text)
	}
	return line.Bytes(), nil
}
