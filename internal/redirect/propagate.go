package redirect

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/sandbox"
)

const (
	rebootRequired         = "/run/reboot-required"
	rebootRequiredPackages = "/run/reboot-required.pkgs"
)

// collected are the files that are wanted from inside.
func collected(f Frontend) []string {
	files := []string{rebootRequired, rebootRequiredPackages, historyLog}
	if f == UnattendedUpgrade {
		files = append(files, appended...)
		files = append(files, replaced...)
	}
	return files
}

// propagateRebootRequired tells the running system's monitors and login
// messages that a reboot is due.
func (s *Supervisor) propagateRebootRequired(result sandbox.Result) {
	for _, name := range []string{rebootRequired, rebootRequiredPackages} {
		content, ok := result.Collected[name]
		if !ok {
			continue
		}
		if old, err := os.ReadFile(name); err == nil {
			if bytes.Contains(old, content) {
				continue
			}
			content = append(old, content...)
		}
		if err := os.WriteFile(name, content, 0o644); err != nil {
			s.Log.WithError(err).Warn("cannot tell the running system that a reboot is due")
		}
	}
}

// appended are the logs of unattended-upgrade that grow, and replaced the
// other files by which it, and the timer that calls it, remember a run. The running
// system has to have them, or it would not know that there was a run.
var (
	appended = []string{
		"/var/log/unattended-upgrades/unattended-upgrades.log",
		"/var/log/unattended-upgrades/unattended-upgrades-dpkg.log",
		"/var/log/unattended-upgrades/unattended-upgrades-shutdown.log",
	}
	replaced = []string{
		"/var/lib/apt/periodic/unattended-upgrades-stamp",
		"/var/lib/unattended-upgrades/kept-back",
	}
)

// propagateLogs carries what unattended-upgrade wrote about its run over to
// the running system, whatever came of it.
func (s *Supervisor) propagateLogs(job Job, result sandbox.Result) {
	if job.Frontend != UnattendedUpgrade {
		return
	}
	for _, name := range appended {
		if now, ok := result.Collected[name]; ok {
			old, err := os.ReadFile(name)
			if err == nil || errors.Is(err, fs.ErrNotExist) {
				err = appendFile(name, bytes.TrimPrefix(now, old))
			}
			s.warnPropagate(name, err)
		}
	}
	for _, name := range replaced {
		if now, ok := result.Collected[name]; ok {
			err := os.MkdirAll(filepath.Dir(name), 0o755)
			if err == nil {
				err = durable.WriteFile(name, now, 0o644)
			}
			s.warnPropagate(name, err)
		}
	}
}

func (s *Supervisor) warnPropagate(name string, err error) {
	if err != nil {
		s.Log.WithError(err).Warnf("cannot carry %s over to the running system", name)
	}
}

func appendFile(name string, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
