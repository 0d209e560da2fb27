package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/systemd"
	"github.com/apt-be/apt-be/internal/ui"
)

// NewLog returns the log of diagnostics. Warnings and errors go to w, in the format of
// apt-be's notices (see SetConsole). All messages, with their fields, go to systemd's
// journal.
func NewLog(w io.Writer) *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	log.SetLevel(logrus.DebugLevel)
	log.AddHook(&console{w: w, level: logrus.WarnLevel})
	log.AddHook(systemd.JournalHook{})
	return log
}

// SetConsole sets the least important level that a log of NewLog prints.
func SetConsole(log *logrus.Logger, level logrus.Level) {
	for _, hook := range log.Hooks[logrus.ErrorLevel] {
		if c, ok := hook.(*console); ok {
			c.level = level
		}
	}
}

// DebugVariable is the environment variable that makes apt-be explain its work: with "1"
// on standard error, otherwise in the file that it names.
const DebugVariable = "APT_BE_DEBUG"

// ApplyDebugVariable makes a log of NewLog follow the value of DebugVariable. The file
// stays open until the process ends.
func ApplyDebugVariable(log *logrus.Logger, value string) error {
	switch value {
	case "", "0":
	case "1":
		SetConsole(log, logrus.DebugLevel)
	default:
		f, err := os.OpenFile(value, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return fmt.Errorf("cannot write the debug messages that %s asks for: %w", DebugVariable, err)
		}
		log.AddHook(&console{w: f, level: logrus.DebugLevel, format: &logrus.TextFormatter{DisableColors: true, FullTimestamp: true}})
	}
	return nil
}

// console prints messages from a level on. It is a hook, because the level of a log
// applies to all of its hooks.
type console struct {
	w      io.Writer
	level  logrus.Level
	format logrus.Formatter // nil: voice
}

// Levels implements logrus.Hook.
func (c *console) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (c *console) Fire(entry *logrus.Entry) error {
	if entry.Level > c.level {
		return nil
	}
	format := c.format
	if format == nil {
		format = voice{}
	}
	text, err := format.Format(entry)
	if err == nil {
		_, err = c.w.Write(text)
	}
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
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
