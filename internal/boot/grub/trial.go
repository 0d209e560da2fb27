package grub

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/boot"
)

// Level implements [boot.TrialLoader]. A GRUB that fails to write its block does not
// start a trial's kernel. So the protection is the same, but no trial succeeds.
func (l *Loader) Level() (boot.Level, string) {
	switch l.Env.Kind {
	case WritableEnv:
		return boot.LevelKernel, "GRUB records on " + l.Env.Path + " that it takes a trial, before it loads the kernel" + l.probed()
	case ReadOnlyEnv:
		return boot.LevelInitramfs, "GRUB cannot write to btrfs: the initramfs of a trial ends it, after it has found the disk"
	}
	return boot.LevelNone, errNoEnv.Error()
}

// probed returns the value that shows whether GRUB has written the block on this
// machine.
func (l *Loader) probed() string {
	text, err := l.readMenu()
	if err != nil {
		return ": " + err.Error()
	}
	vars, err := l.Env.read()
	if err != nil {
		return ": " + err.Error()
	}
	probe := parseHeader(text).probe
	now, err := bootID()
	switch {
	case err != nil || probe == "":
		return ""
	case vars[varProbe] == probe:
		return " (tested: it has written there)"
	case probe == now:
		return " (the next boot tests whether it can write there)"
	}
	return " (it has not written there, although the machine has booted since)"
}

// Arm implements [boot.TrialLoader].
func (l *Loader) Arm(nonce string) error {
	text, err := l.readMenu()
	if err == nil && (nonce == "" || parseHeader(text).trial != nonce) {
		err = errNotInMenu
	}
	if err == nil {
		err = l.Env.arm(nonce)
	}
	if err != nil {
		return fmt.Errorf("cannot make GRUB take the trial: %w", err)
	}
	return nil
}

// Disarm implements [boot.TrialLoader].
func (l *Loader) Disarm() error {
	if err := l.Env.disarm(); err != nil {
		return fmt.Errorf("cannot make GRUB forget its trial: %w", err)
	}
	return nil
}

// State implements [boot.TrialLoader]. With a [ReadOnlyEnv], Tried is the record of the
// trial's initramfs, and Missing is always empty.
func (l *Loader) State() (boot.State, error) {
	vars, err := l.Env.read()
	if err != nil {
		return boot.State{}, err
	}
	text, err := l.readMenu()
	if err != nil {
		return boot.State{}, err
	}
	state := boot.State{Armed: vars[varArmed], Tried: vars[varTried], Missing: vars[varMissing]}
	if state.Armed != parseHeader(text).trial {
		state.Armed = "" // GRUB has no entry for it
	}
	return state, nil
}
