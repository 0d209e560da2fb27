package report

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/rebootrequired"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/ui"
)

func TestRebootDue(t *testing.T) {
	asked := Reboot{Automatic: true, WithUsers: true, Time: "02:00"}
	alone := Reboot{Automatic: true, Time: "now"}
	for _, tt := range []struct {
		policy Reboot
		armed  string
		users  []string
		reboot bool
		tell   string
	}{
		{Reboot{}, "new", nil, false, ""},
		{asked, "new", []string{"root"}, true, "The machine reboots into new (Unattended-Upgrade::Automatic-Reboot, shutdown -r 02:00)."},
		{asked, "", nil, false, "A reboot is required, but Unattended-Upgrade::Automatic-Reboot is ignored, because the next boot would start the running system again."},
		{alone, "new", nil, true, "The machine reboots into new (Unattended-Upgrade::Automatic-Reboot, shutdown -r now)."},
		{alone, "new", []string{"root", "admin", "root"}, false, "A reboot is required, but users are logged in (admin, root). Unattended-Upgrade::Automatic-Reboot-WithUsers allows a reboot all the same."},
	} {
		if reboot, tell := tt.policy.due(tt.armed, tt.users); reboot != tt.reboot || tell != tt.tell {
			t.Errorf("%+v.due(%q, %q) = %v, %q, want %v, %q", tt.policy, tt.armed, tt.users, reboot, tell, tt.reboot, tt.tell)
		}
	}
}

func TestLogLines(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 4, 5, 67_000_000, time.UTC)
	got := string(logLines(now, []string{"One.", "Two\nlines."}))
	if want := "2026-11-21 03:04:05,067 INFO apt-be: One.\n2026-11-21 03:04:05,067 INFO apt-be: Two lines.\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// fakeSystem is a running system that records the calls.
type fakeSystem struct {
	mail     []string
	mailErr  error
	shutdown []string
}

func (s *fakeSystem) Users() ([]string, error) { return nil, nil }

func (s *fakeSystem) Shutdown(when string) error {
	s.shutdown = append(s.shutdown, when)
	return nil
}

func (s *fakeSystem) Sendmail(args []string, text []byte) error {
	if s.mailErr == nil {
		s.mail = append(s.mail, strings.Join(args, " ")+"\n"+string(text))
	}
	return s.mailErr
}

func newReport(t *testing.T) (*Report, *fakeSystem, *bytes.Buffer) {
	t.Helper()
	system, logged := &fakeSystem{}, &bytes.Buffer{}
	log := logrus.New()
	log.SetOutput(logged)
	flag := rebootrequired.Flag{Dir: t.TempDir()}
	return &Report{Reporter: &Reporter{Notice: ui.NewNotice(io.Discard, true), Log: log, System: system, Flag: flag}}, system, logged
}

// Of the spooled files, valid messages are delivered, with the result of the upgrade.
// The others are reported.
func TestFinishDelivers(t *testing.T) {
	s, system, logged := newReport(t)
	s.Finish(nil, nil, nil)
	if len(system.mail) > 0 || logged.Len() > 0 {
		t.Errorf("nothing ran, and there is %q, %s", system.mail, logged)
	}
	s.Begin(sandbox.Result{Spooled: [][]byte{[]byte("1\x00root\x00Subject: x\n\nUpgraded.\n"), []byte("junk"), []byte("0\x00text")}})
	s.SetResult(be.Env{Name: "new", Record: be.Record{State: be.Ready}}, true)
	s.hear("Boot environment new is ready.")
	s.Finish(nil, nil, nil)
	want := "-i -- root\nSubject: x\nX-Apt-Be: new; ready\n\nUpgraded.\n\nThis message describes changes in a boot environment, not in the running\nsystem:\nBoot environment new is ready.\n"
	if !slices.Equal(system.mail, []string{want}) {
		t.Errorf("delivered is %q, want %q", system.mail, want)
	}
	if n := strings.Count(logged.String(), "cannot deliver"); n != 2 {
		t.Errorf("%d messages are told of:\n%s", n, logged)
	}
}

func TestFinishTellsWhyItFailed(t *testing.T) {
	s, system, _ := newReport(t)
	s.Begin(sandbox.Result{Spooled: [][]byte{[]byte("1\x00root\x00\nUpgraded.\n")}})
	s.Finish(nil, nil, errors.New("cannot make it bootable: no space"))
	if len(system.mail) != 1 || !strings.Contains(system.mail[0], "The upgrade failed: cannot make it bootable: no") {
		t.Errorf("delivered is %q", system.mail)
	}
}

// A missing sendmail is reported once.
func TestFinishWithoutSendmail(t *testing.T) {
	s, system, logged := newReport(t)
	system.mailErr = fs.ErrNotExist
	message := []byte("1\x00root\x00text")
	s.Begin(sandbox.Result{Spooled: [][]byte{message, message, message}})
	s.Finish(nil, nil, nil)
	if got := logged.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "messages: 3") {
		t.Errorf("the log says:\n%s", got)
	}
}

// The flag is set while the next boot takes an environment. It names the packages that
// asked for a reboot in that environment.
func TestSetRebootRequired(t *testing.T) {
	s, _, _ := newReport(t)
	armed := be.Env{Name: "new", Record: be.Record{UUID: "1"}}
	packages := func() string {
		data, err := os.ReadFile(filepath.Join(s.Flag.Dir, "reboot-required.pkgs"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return string(data)
	}
	built := func(about *be.Env, made bool, asked string) {
		s.Begin(sandbox.Result{Collected: map[string][]byte{rebootRequiredPackages: []byte(asked)}})
		s.SetResult(*about, made)
	}
	built(&armed, true, "libc6\n../evil\ndbus\n\n")
	s.setRebootRequired(&armed)
	if got := packages(); got != "libc6\ndbus\n" || !s.Flag.IsSet() {
		t.Errorf("packages are %q, up: %v", got, s.Flag.IsSet())
	}
	// The same upgrade again, without requests for a reboot; then one that extends the
	// environment.
	for asked, want := range map[string]string{"": "libc6\ndbus\n", "linux-base\n": "libc6\ndbus\nlinux-base\n"} {
		if err := s.Flag.Set([]string{"libc6", "dbus"}); err != nil {
			t.Fatal(err)
		}
		built(&armed, false, asked)
		s.setRebootRequired(&armed)
		if got := packages(); got != want {
			t.Errorf("packages are %q, want %q", got, want)
		}
	}
	newer := be.Env{Name: "newer", Record: be.Record{UUID: "2"}}
	for _, asked := range []string{"linux-image-amd64\n", ""} {
		built(&newer, true, asked)
		s.setRebootRequired(&newer)
		if got := packages(); got != asked || !s.Flag.IsSet() {
			t.Errorf("packages are %q, up: %v", got, s.Flag.IsSet())
		}
	}
	s.setRebootRequired(nil)
	if got := packages(); got != "" || s.Flag.IsSet() {
		t.Errorf("packages are %q, up: %v", got, s.Flag.IsSet())
	}
}
