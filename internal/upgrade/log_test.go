package upgrade

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// Two upgrades of one environment leave two logs, with their warnings and steps.
func TestLogs(t *testing.T) {
	st, err := fake.New(t.TempDir())
	if err == nil {
		err = st.Create(be.HomeDir)
	}
	if err != nil {
		t.Fatal(err)
	}
	e := be.Env{Name: "new", Subvolume: store.Subvolume{UUID: "1"}}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	for _, command := range []string{"first", "second"} {
		k := &logKeeper{store: st, logger: logger, log: Log{Command: []string{command}, Started: time.Unix(0, 0).UTC()}, made: &e}
		release := k.collectWarnings()
		k.step("frontend")()
		logger.WithError(errors.New("it is gone")).Warn("cannot remove it")
		logger.Info("no warning")
		release()
		logger.Warn("after the upgrade")
		k.keepLog()
	}
	file := filepath.Join(st.Path(be.LogDir("1")), logFile)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"command":["interr`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	logs, err := Logs(st, e)
	if err != nil || len(logs) != 2 {
		t.Fatalf("%+v, %v, want two logs", logs, err)
	}
	for i, command := range []string{"first", "second"} {
		log := logs[i]
		if log.Environment != "new" || log.Command[0] != command || len(log.Steps) != 1 || log.Steps[0].Name != "frontend" {
			t.Errorf("log %d: %+v", i, log)
		}
		if diff := cmp.Diff([]string{"cannot remove it: it is gone"}, log.Warnings); diff != "" {
			t.Errorf("log %d: %s", i, diff)
		}
	}
	if err := os.WriteFile(file, []byte("{\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Logs(st, e); err == nil {
		t.Error("a damaged log is no error")
	}
	if logs, err := Logs(st, be.Env{Subvolume: store.Subvolume{UUID: "2"}}); err != nil || logs != nil {
		t.Errorf("without a log: %+v, %v", logs, err)
	}
}
