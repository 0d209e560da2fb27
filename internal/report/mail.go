package report

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/apt-be/apt-be/internal/divert"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/mailspool"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/ui"
)

const (
	sendmail = "/usr/sbin/sendmail"
	mtaDir   = "/run/apt-be/mta"  // the directory of the sendmail stand-in, inside
	mailDir  = "/run/apt-be/mail" // the directory in which it stores messages
)

// noReboot is a configuration file of apt that a root has while unattended-upgrade runs
// in it; otherwise unattended-upgrade would announce a reboot. The last file wins, and
// python-apt reads all files again after $APT_CONFIG's.
const (
	noReboot     = "/etc/apt/apt.conf.d/zzzz-apt-be"
	noRebootText = automaticReboot + ` "false";` + "\n"
)

// DivertSendmail installs files in a build's root that prevent a frontend from mailing
// or rebooting inside. undo restores the root, whatever packages changed meanwhile. If
// the build is interrupted, it is garbage with all its files.
func (a *Report) DivertSendmail(spec *sandbox.Spec, root string) (undo func() error, err error) {
	diversion, err := divert.Place(root, sendmail, filepath.Join(mtaDir, "sendmail"))
	switch {
	case errors.Is(err, divert.ErrDiverted):
		a.Log.Warnf("mail that the upgrade sends may wait in the new boot environment: %v", err)
	case err != nil:
		return nil, err
	default:
		spec.Spool = mailDir
		spec.Shown[mtaDir] = filepath.Join(a.Lib, "sandbox", "mta")
	}
	if a.Reboot.Automatic {
		if err := setText(root, noReboot, noRebootText); err != nil {
			return nil, fmt.Errorf("cannot keep the upgrade from rebooting: %w", err)
		}
	}
	return func() error {
		var errs []error
		if diversion != nil {
			errs = append(errs, diversion.Remove())
		}
		if a.Reboot.Automatic {
			errs = append(errs, setText(root, noReboot, ""))
		}
		return errors.Join(errs...)
	}, nil
}

// setText writes a file of a root, or removes it if text is empty.
func setText(root, name, text string) error {
	return inroot.EditOrMake(root, name, func(old []byte) ([]byte, bool, error) {
		return []byte(text), string(old) != text, nil
	})
}

// deliver passes the mail spool to the running system's sendmail, with a note about the
// result of the upgrade: the messages report upgrades that exist only in an
// environment.
func (a *Report) deliver(spooled [][]byte, about string, told []string) {
	const width = 72 // the width of a line of mail
	note := []string{"This message describes changes in a boot environment, not in the running system:"}
	note = append(note, told...)
	var lines []string
	for _, text := range note {
		lines = append(lines, ui.Wrap(text, width)...)
	}
	for _, data := range spooled {
		message, err := mailspool.Parse(data)
		if err == nil {
			err = a.send(message, about, lines)
		}
		if errors.Is(err, fs.ErrNotExist) {
			a.Log.Warnf("cannot deliver what the upgrade mailed (messages: %d): %v", len(spooled), err)
			return
		}
		if err != nil {
			a.Log.WithError(err).Warn("cannot deliver what the upgrade mailed")
		}
	}
}

func (a *Report) send(m mailspool.Message, about string, lines []string) error {
	args, ok := m.Recipients()
	if !ok {
		return errors.New("a message has no recipients")
	}
	return a.System.Sendmail(args, m.Annotated(about, lines))
}
