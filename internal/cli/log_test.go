package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestLog(t *testing.T) {
	var said bytes.Buffer
	log := NewLog(&said)
	log.WithError(errors.New("it is gone")).WithField("times", 2).Warn("cannot remove what a very long sentence calls the old environment")
	log.Info("not shown")
	SetConsole(log, logrus.DebugLevel)
	log.Debug("shown")
	want := "apt-be: warning: cannot remove what a very long sentence calls the old\n" +
		"apt-be: environment: it is gone (times: 2)\napt-be: shown\n"
	if said.String() != want {
		t.Errorf("it says\n%s, want\n%s", said.String(), want)
	}
}
