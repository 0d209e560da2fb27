// Package activation switches between two boot environments. It arms a trial of the next
// environment, and judges the trial after the boot. A trial ends in one of two ways: the
// environment is blessed and becomes the default, or the machine falls back to the
// environment before.
//
// No part of this package runs in the background. The registry and the boot loader store
// all state that must survive a reset. Each change of the loader is one write. After a
// power cut between a write to the registry and a write to the loader, the next Boot, Arm
// or Disarm resolves the difference. If the two contradict each other, the loader is
// right, because the loader boots the machine.
package activation

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
)

// ErrNoKernel reports that an environment has no kernel, or no initrd for it.
var ErrNoKernel = errors.New("it cannot boot")

// ErrNoFallback reports that an environment on trial would boot again and again:
// neither the loader nor its initrd ends the trial.
var ErrNoFallback = errors.New("its initrd has no scripts of apt-be, so it would boot again even if it failed")

// Activator activates the environments of a registry. The caller of a method that
// changes something must hold the registry's lock.
type Activator struct {
	Registry *be.Registry
	Loader   boot.Loader
	FSUUID   string     // the file system of the environments
	Files    boot.Files // reads their kernels and initrds
	// EndsTrial reports whether an initrd of an environment, by its path there, ends a
	// trial before its other scripts run.
	EndsTrial func(e be.Env, initrd string) (bool, error)
	// Parameters are those of the running kernel (/proc/cmdline), for environments
	// without recorded parameters.
	Parameters string
}

// trialDir is the directory in the store in which an initramfs records its progress.
const trialDir = be.HomeDir + "/trial"

// KernelOf returns the kernel with which an environment boots. The error is ErrNoKernel
// if there is none.
func KernelOf(e be.Env) (be.Kernel, error) {
	for _, k := range e.Record.Kernels { // the newest first
		if k.Image != "" && k.Initrd != "" {
			return k, nil
		}
	}
	reason := "it has no kernel"
	if len(e.Record.Kernels) > 0 {
		reason = "its kernel has no initrd"
	}
	return be.Kernel{}, fmt.Errorf("%w: %s", ErrNoKernel, reason)
}

// Refresh writes the menu again, after environments were created, deleted or got
// another kernel. The next boot's choice stays the same.
func (a *Activator) Refresh() error {
	envs, err := a.Registry.List()
	if err != nil {
		return err
	}
	name, err := a.Loader.Default()
	if err != nil {
		return err
	}
	return a.setMenu(envs, name, true)
}

// SetDefault makes an environment the default, without a trial, and disarms an armed
// trial.
func (a *Activator) SetDefault(e be.Env) error {
	if _, err := KernelOf(e); err != nil {
		return err
	}
	if err := a.Registry.Note(e); err != nil {
		return err
	}
	envs, err := a.Registry.List()
	if err != nil {
		return err
	}
	// The menu is one write and decides: without a trial in it, an armed trial has no
	// effect.
	if err := a.setMenu(envs, e.Name, false); err != nil {
		return err
	}
	if got, err := a.Loader.Default(); err != nil || got != e.Name {
		return errors.Join(err, fmt.Errorf("cannot make %s the default: %s has the state %q", e.Name, a.Loader, got))
	}
	return errors.Join(a.Loader.Disarm(), a.unwant(), a.forget(), a.settleChoice(envs))
}

// setMenu writes the menu of all environments that can boot. Its trial is the one of a
// record, if that trial has not ended and is wanted.
func (a *Activator) setMenu(envs []be.Env, defaultName string, withTrial bool) error {
	if i := slices.IndexFunc(envs, func(e be.Env) bool { return e.Running }); i >= 0 {
		// The menu after the next boot is made from the recorded parameters.
		if err := a.Registry.Note(envs[i]); err != nil {
			return err
		}
	}
	menu, err := a.menu(envs, defaultName)
	if err != nil {
		return err
	}
	if !withTrial {
		menu.Trial = nil
	}
	return a.Loader.SetMenu(menu, a.Files)
}

func (a *Activator) menu(envs []be.Env, defaultName string) (boot.Menu, error) {
	menu := boot.Menu{Default: defaultName}
	for i := len(envs) - 1; i >= 0; i-- { // the youngest first
		entry, err := a.Entry(envs[i])
		if errors.Is(err, ErrNoKernel) {
			continue
		}
		if err != nil {
			return menu, err
		}
		t := envs[i].Record.Trial
		onTrial := t != nil && t.Method == be.Reboot && !settled(envs[i])
		switch {
		case entry.Name == defaultName:
			menu.Entries = append([]boot.Entry{entry}, menu.Entries...)
		case !onTrial && a.missing(envs[i]) != "":
			continue // its kernel was deleted; the others stay in the menu
		default:
			menu.Entries = append(menu.Entries, entry)
		}
		if onTrial {
			entry.Options = TrialParameters(entry.Options, t)
			menu.Trial = &boot.Trial{Entry: entry, Nonce: t.Nonce}
		}
	}
	if len(menu.Entries) == 0 || menu.Entries[0].Name != defaultName {
		return menu, fmt.Errorf("cannot write a boot menu: %w: %s, which is the default", ErrNoKernel, defaultName)
	}
	return menu, nil
}

// Entry returns the menu entry of an environment. The error is ErrNoKernel if there is
// none.
func (a *Activator) Entry(e be.Env) (boot.Entry, error) {
	if !e.Bootable() {
		return boot.Entry{}, fmt.Errorf("%w: it is %s", ErrNoKernel, e.Record.State)
	}
	if err := be.CheckName(e.Name); err != nil && !e.Default && !e.Running {
		// A subvolume that was created by hand can have any name, and the name goes
		// into files and command lines.
		return boot.Entry{}, fmt.Errorf("%w: %w", ErrNoKernel, err)
	}
	kernel, err := KernelOf(e)
	if err != nil {
		return boot.Entry{}, err
	}
	parameters := e.Record.Parameters
	if parameters == "" {
		parameters = WithoutTrial(a.Parameters)
	}
	return boot.Entry{
		Name:          e.Name,
		Title:         strings.TrimSpace(e.Record.Title + " (" + e.Name + ")"),
		FSUUID:        a.FSUUID,
		Subvolume:     e.Subvolume.Path,
		Kernel:        boot.InSubvolume(e.Subvolume.Path, kernel.Image),
		Initrd:        boot.InSubvolume(e.Subvolume.Path, kernel.Initrd),
		KernelVersion: kernel.Version,
		Options:       parameters,
	}, nil
}

// Waits reports whether an environment has a trial that the machine has yet to start, by
// any method.
func Waits(e be.Env) bool {
	// The loader does not know a trial that it does not start.
	return e.Armed || !settled(e) && e.Record.Trial.Method != be.Reboot
}

// settled reports whether the trial of an environment has ended.
func settled(e be.Env) bool {
	t := e.Record.Trial
	return t == nil || e.Record.State == be.FellBack || t.Fault != nil || !t.Started.IsZero()
}

// forget removes the trials that have not started, and the marks of their initramfs,
// from the registry.
func (a *Activator) forget() error {
	envs, err := a.Registry.List()
	if err != nil {
		return err
	}
	for _, e := range envs {
		if e.Record.Trial == nil || settled(e) {
			continue
		}
		if err := a.endTrial(e, func(*be.Record) {}); err != nil {
			return err
		}
	}
	return nil
}

// endTrial removes the trial from a record, and applies edit.
func (a *Activator) endTrial(e be.Env, edit func(*be.Record)) error {
	var nonce string
	err := a.Registry.Change(e, func(r *be.Record) {
		if r.Trial != nil {
			nonce, r.Trial = r.Trial.Nonce, nil
		}
		edit(r)
	})
	if err == nil && nonce != "" {
		a.removeMarks(nonce)
	}
	return err
}

func (a *Activator) mark(nonce, stage string) string {
	return a.Registry.Store().Path(trialDir + "/" + nonce + "." + stage)
}

// removeMarks removes the marks of an initramfs. A remaining mark is harmless, because
// a nonce is never used again.
func (a *Activator) removeMarks(nonce string) {
	for _, stage := range []string{markInitramfs, markInit, markWanted} {
		_ = os.Remove(a.mark(nonce, stage))
	}
}
