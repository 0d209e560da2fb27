package upgrade

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/store"
)

// Log is the log of one upgrade. It is kept beside the record of the environment.
type Log struct {
	Started     time.Time `json:"started"`
	Command     []string  `json:"command"`     // the user's command line
	Environment string    `json:"environment"` // its name at that time
	ExitCode    int       `json:"exit_code"`   // of the frontend
	Signal      int       `json:"signal,omitempty"`
	Verdict     string    `json:"verdict"` // "ready" or "failed"
	Reason      string    `json:"reason"`  // of the verdict, as a sentence
	Steps       []Step    `json:"steps"`
	Messages    []string  `json:"messages,omitempty"` // the messages to the user
	Warnings    []string  `json:"warnings,omitempty"`
}

// Step is a step of an upgrade with its duration.
type Step struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
}

// logFile is the file of an environment's logs: one Log per line, the oldest first.
const logFile = "upgrades.jsonl"

// logLimit is the maximum size of this file in bytes.
const logLimit = 16 << 20

// Logs returns the logs of the upgrades in an environment, the oldest first; none if no
// upgrade made it. It ignores an incomplete last line.
func Logs(st store.Store, e be.Env) ([]Log, error) {
	data, err := regular.ReadFile(filepath.Join(st.Path(be.LogDir(e.Subvolume.UUID)), logFile), logLimit)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of %s: %w", e.Name, err)
	}
	var all []Log
	for line := range bytes.Lines(data) {
		var log Log
		if err := json.Unmarshal(line, &log); err != nil {
			if !bytes.HasSuffix(line, []byte("\n")) {
				break // the write was interrupted
			}
			return all, fmt.Errorf("cannot read the log of %s: %w", e.Name, err)
		}
		all = append(all, log)
	}
	return all, nil
}

// appendLog adds a log to those of an environment.
func appendLog(st store.Store, e be.Env, log Log) error {
	line, err := json.Marshal(log)
	if err != nil {
		return err
	}
	dir := st.Path(be.LogDir(e.Subvolume.UUID))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// logKeeper writes the log of one upgrade.
type logKeeper struct {
	store  store.Store
	logger *logrus.Logger
	log    Log
	made   *be.Env // the environment that the upgrade made or extended
}

// step begins a step of the upgrade. The caller calls done at its end.
func (k *logKeeper) step(name string) (done func()) {
	began := time.Now()
	return func() {
		seconds := time.Since(began).Seconds()
		k.log.Steps = append(k.log.Steps, Step{name, seconds})
		k.logger.WithFields(logrus.Fields{"step": name, "seconds": fmt.Sprintf("%.2f", seconds)}).Debug("step ended")
	}
}

// logged records a verdict in the log, and returns it.
func (k *logKeeper) logged(build *be.Build, v Verdict) Verdict {
	k.log.Verdict, k.log.Reason = v.State.String(), v.Reason
	k.logger.WithFields(logrus.Fields{"be": build.Name, "verdict": v.State}).Debug(v.Reason)
	return v
}

// keepLog writes the log beside the record of the environment that the upgrade made or
// extended, if there is one.
func (k *logKeeper) keepLog() {
	if k.made == nil {
		return
	}
	k.log.Environment = k.made.Name
	if err := appendLog(k.store, *k.made, k.log); err != nil {
		k.logger.WithError(err).Warnf("cannot keep the log of the upgrade for %s", k.made.Name)
	}
}

// warnings is a hook that collects the warnings of an upgrade for its log.
type warnings struct{ log *Log }

// Levels implements logrus.Hook.
func (w warnings) Levels() []logrus.Level {
	return []logrus.Level{logrus.WarnLevel, logrus.ErrorLevel}
}

// Fire implements logrus.Hook.
func (w warnings) Fire(entry *logrus.Entry) error {
	text := entry.Message
	if err, ok := entry.Data[logrus.ErrorKey]; ok {
		text = strings.TrimSpace(fmt.Sprintf("%s: %v", text, err))
	}
	w.log.Warnings = append(w.log.Warnings, text)
	return nil
}

// collectWarnings makes the log collect warnings until release is called.
func (k *logKeeper) collectWarnings() (release func()) {
	before := k.logger.Hooks
	with := logrus.LevelHooks{}
	for level, hooks := range before {
		with[level] = append([]logrus.Hook(nil), hooks...)
	}
	with.Add(warnings{&k.log})
	k.logger.ReplaceHooks(with)
	return func() { k.logger.ReplaceHooks(before) }
}
