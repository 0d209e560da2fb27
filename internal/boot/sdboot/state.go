package sdboot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// Arm makes the next boot take the trial with this nonce. systemd-boot deletes the
// variable as soon as it has read it. If the user chooses another entry at that boot,
// the trial is disarmed, and counts as neither armed nor tried.
//
// Arm refuses a damaged kernel: if the firmware refuses to load one, systemd-boot 257
// ends in a processor exception, and the machine hangs until a reset (252 boots the
// default).
func (l *Loader) Arm(nonce string) error {
	trials, err := l.trials()
	if err != nil {
		return err
	}
	for _, trial := range trials {
		if trial.nonce != nonce || trial.tried {
			continue
		}
		if err := l.verify(trial.file); err != nil {
			return fmt.Errorf("cannot arm the trial %s: %w", nonce, err)
		}
		return l.Vars.Set(varOneShot, oneShot(nonce))
	}
	return fmt.Errorf("cannot arm the trial %s: it is not in systemd-boot's menu, or was taken before", nonce)
}

// verify checks the kernel and the initrd of an entry.
func (l *Loader) verify(file string) error {
	data, err := regular.ReadFile(file, regular.State)
	if err != nil {
		return err
	}
	entry := parse(data)
	if err := l.Kernels.Verify(entry); err != nil {
		return err
	}
	kernel, err := regular.Open(filepath.Join(l.ESP, entry.Kernel), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer kernel.Close()
	magic := make([]byte, 2)
	if _, err := io.ReadFull(kernel, magic); err != nil || string(magic) != "MZ" {
		return errors.New("its kernel is not an EFI program")
	}
	return nil
}

// Disarm forgets all trials, including taken ones, and removes their entries.
func (l *Loader) Disarm() error {
	return errors.Join(l.disarmBut(""), l.removeTrials())
}

// disarmBut disarms the armed trial, unless it has this nonce.
func (l *Loader) disarmBut(nonce string) error {
	armed, err := l.Vars.Get(varOneShot)
	if err != nil || !strings.HasPrefix(armed, trialPrefix) || nonce != "" && armed == oneShot(nonce) {
		return err
	}
	return l.Vars.Delete(varOneShot)
}

// removeTrials removes the entries of all trials except those with the nonces.
func (l *Loader) removeTrials(nonces ...string) error {
	trials, err := l.trials()
	for _, trial := range trials {
		if !slices.Contains(nonces, trial.nonce) {
			err = errors.Join(err, durable.Remove(trial.file))
		}
	}
	return err
}

// State reads systemd-boot's state. If an entry's kernel is missing, systemd-boot skips
// the entry and boots the default, and does not count an armed trial. If an initrd is
// missing, it counts the trial and returns to the firmware, which follows its boot
// order.
func (l *Loader) State() (state boot.State, err error) {
	trials, err := l.trials()
	if err != nil {
		return state, err
	}
	armed, err := l.Vars.Get(varOneShot)
	if err != nil {
		return state, err
	}
	for _, trial := range trials {
		if armed == oneShot(trial.nonce) && !trial.tried {
			state.Armed = trial.nonce
			continue
		}
		missing, err := l.missing(trial.file)
		if err != nil {
			return state, err
		}
		if trial.tried || missing == "kernel" {
			state.Tried, state.Missing = trial.nonce, missing
		}
	}
	return state, nil
}

// features are the required abilities of an EFI loader, in its variable LoaderFeatures
// (see bootctl(1) and systemd's efi-loader-features.h).
var features = []struct {
	bit  uint64
	what string
}{
	{1 << 2, "does not read the default entry from an EFI variable"},
	{1 << 3, "cannot boot an entry once"},
	{1 << 4, "does not count boots"},
}

// Level is LevelKernel if the running system was booted by a systemd-boot that can boot
// an entry once, and EFI variables can be written. It writes none to test this while
// one of an earlier SetMenu exists.
func (l *Loader) Level() (boot.Level, string) {
	data, err := l.Vars.Read("LoaderFeatures")
	if err != nil || len(data) < 8 {
		return boot.LevelNone, "this system was not booted by systemd-boot"
	}
	for _, feature := range features {
		if binary.LittleEndian.Uint64(data)&feature.bit == 0 {
			return boot.LevelNone, "the boot loader " + feature.what
		}
	}
	if err := l.probe(); err != nil {
		return boot.LevelNone, err.Error()
	}
	return boot.LevelKernel, "systemd-boot boots a trial once, and EFI variables can be written"
}

func (l *Loader) probe() error {
	name, err := l.Default()
	switch {
	case err != nil:
		return err
	case name != "":
		return l.Vars.Writable()
	}
	return l.Vars.Probe()
}
