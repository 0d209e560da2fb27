package systemd

import (
	"fmt"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/sirupsen/logrus"
)

// JournalHook is a hook of logrus that sends messages to journald, each field as
// APT_BE_FIELD. Without journald it does nothing. It ignores errors, because a log must
// not stop its program.
type JournalHook struct{}

// Levels implements logrus.Hook.
func (JournalHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (JournalHook) Fire(entry *logrus.Entry) error {
	if !journal.Enabled() {
		return nil
	}
	message := entry.Message
	fields := map[string]string{"SYSLOG_IDENTIFIER": "apt-be"}
	for key, value := range entry.Data {
		if key == logrus.ErrorKey {
			message += fmt.Sprintf(": %v", value)
		}
		fields["APT_BE_"+strings.ToUpper(key)] = fmt.Sprint(value)
	}
	_ = journal.Send(message, priority(entry.Level), fields)
	return nil
}

func priority(level logrus.Level) journal.Priority {
	switch level {
	case logrus.WarnLevel:
		return journal.PriWarning
	case logrus.InfoLevel:
		return journal.PriInfo
	case logrus.DebugLevel, logrus.TraceLevel:
		return journal.PriDebug
	}
	return journal.PriErr
}
