package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// Installer sets a machine up, and reverses that. The caller must hold the registry's
// Lock.
type Installer struct {
	Host     *Host
	Registry *be.Registry
	// Menu writes the menu of all environments with the loader of the registry's Boot,
	// with one of them as the default. RemoveMenu removes the menu and all its files.
	Menu       func(defaultName string) error
	RemoveMenu func() error
	// Tell is called before each step; it may be nil.
	Tell func(Step)
}

// Done is the record of a machine's setup, in @apt-be/setup.json. It exists from the
// end of apt-be init to the end of apt-be init --undo.
type Done struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"` // of the transaction
	Time    time.Time `json:"time"`
	Machine Layout    `json:"machine"` // the state before
	// DefaultEntry is systemd-boot's default entry before the setup.
	DefaultEntry string `json:"default_entry,omitempty"`
	// Overrides are the generators of GRUB's menu with their earlier statoverrides and
	// modes.
	Overrides []Override `json:"overrides,omitempty"`
}

const doneSchema = 1

// The files and directories of this package in the top-level subvolume.
const (
	doneFile   = be.HomeDir + "/setup.json"
	journalDir = be.HomeDir + "/journal-setup"
	savedDir   = be.HomeDir + "/saved-entries"
)

// journal returns the journal of this package's transactions. The registry's own
// journal is separate, because the registry has no handlers for these steps. Steps are
// undone in order: the loader's files stay until the loader reads others.
func (i *Installer) journal() *txn.Journal {
	return &txn.Journal{Dir: i.path(journalDir), Handlers: i.handlers(), InOrder: true}
}

// Recover reverses an interrupted apt-be init, or an interrupted init --undo. Every
// command that changes something calls it.
func (i *Installer) Recover(ctx context.Context) ([]txn.Recovered, error) {
	recovered, err := i.journal().Recover(ctx)
	recovered = slices.DeleteFunc(recovered, func(t txn.Recovered) bool {
		var bad *txn.UnreadableError // Unreadable reports it
		return errors.As(t.Err, &bad)
	})
	if err != nil {
		return recovered, err
	}
	done, err := i.Done()
	if err != nil || done == nil {
		return recovered, nil
	}
	unsettled, err := i.journal().Unsettled()
	if err != nil || len(unsettled) > 0 {
		return recovered, err
	}
	switch _, err := i.Registry.Boot(); {
	case errors.Is(err, be.ErrNotSetUp):
		// An init --undo ends with the removal of boot.json, and cleans up after it.
		return recovered, i.tidy(*done)
	case err == nil && done.Machine.Loader == be.LoaderGRUB && isFile(i.Host.path(grubBefore)):
		_ = i.clearUp(ctx, done.Machine) // as Install does
	}
	return recovered, nil
}

// CutOff reports whether an apt-be init, or its undo, was interrupted. The caller must
// know that none is running.
func (i *Installer) CutOff() (bool, error) {
	unsettled, err := i.journal().Unsettled()
	return len(unsettled) > 0, err
}

// Done reads the record of the machine's setup; nil if the machine is not set up.
func (i *Installer) Done() (*Done, error) {
	data, err := regular.ReadFile(i.path(doneFile), regular.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var done Done
	if err == nil {
		err = json.Unmarshal(data, &done)
	}
	if err == nil && done.Schema > doneSchema {
		err = fmt.Errorf("schema %d is %w", done.Schema, be.ErrNewerSchema)
	}
	if err == nil && (done.Schema < 1 || done.Machine.Loader == "") {
		err = errors.New("it does not name a boot loader")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the record of apt-be init: %w", i.Registry.UnreadableFile(path.Base(doneFile), err))
	}
	return &done, nil
}

// Mend writes the registry's files about the machine again, if they are unreadable.
// They must not be removed instead: without them, Recover would conclude that the setup
// was reversed.
func (i *Installer) Mend() error {
	_, err := i.Registry.Boot()
	var bad *be.UnreadableError
	if !errors.As(err, &bad) || errors.Is(err, be.ErrNewerSchema) {
		return nil
	}
	done, doneErr := i.Done()
	if doneErr != nil {
		return doneErr
	}
	unsettled, doneErr := i.journal().Unsettled()
	if doneErr != nil {
		return doneErr
	}
	if done == nil || len(unsettled) > 0 {
		return err
	}
	boot := bootOf(done.Machine)
	return i.Registry.SetBoot(&boot)
}

// Unreadable lists the files of this package that are unreadable or invalid.
func (i *Installer) Unreadable() ([]*be.UnreadableError, error) {
	var bad []*be.UnreadableError
	var e *be.UnreadableError
	if _, err := i.Done(); errors.As(err, &e) {
		bad = append(bad, e)
	}
	journals, err := i.Registry.UnreadableJournals(i.journal())
	return append(bad, journals...), err
}

// path returns the path of a file in the store.
func (i *Installer) path(path string) string { return i.store().Path(path) }

func (i *Installer) store() store.Store { return i.Registry.Store() }

// Install does all steps of Plan, or none.
func (i *Installer) Install(ctx context.Context, m Layout) error {
	steps, err := i.Plan(m)
	if err != nil {
		return err
	}
	overrides, err := i.overrides(m)
	if err != nil {
		return err
	}
	t, err := i.journal().Begin("preparing the machine for boot environments")
	if err != nil {
		return err
	}
	done := Done{Schema: doneSchema, ID: t.ID, Time: time.Now().UTC().Truncate(time.Second), Machine: m,
		DefaultEntry: textVariable(i.Host, "LoaderEntryDefault"), Overrides: overrides}
	data, err := json.Marshal(done)
	if err == nil {
		err = i.do(ctx, t, steps)
	}
	if err == nil {
		err = t.Commit(ctx, txn.Step{Kind: stepDone, Args: txn.Args{"id": t.ID, "done": string(data)}})
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot prepare the machine: %w", err), t.Rollback(context.WithoutCancel(ctx)))
	}
	// Old files only take space, so an error does not matter.
	_ = i.clearUp(ctx, m)
	return nil
}

// clearUp removes the loader's files from before the setup. It is not a step: until the
// setup is complete, the old menu needs its kernels.
func (i *Installer) clearUp(ctx context.Context, m Layout) error {
	if m.Loader == be.LoaderSystemdBoot {
		return i.removeStockKernels(m)
	}
	if m.Boot != nil {
		if err := i.clearBoot(ctx, bootArgs(m)); err != nil {
			return err
		}
	}
	return durable.Remove(i.Host.path(grubBefore))
}

// Remove reverses Install: the machine boots without apt-be, in its current state. The
// caller must have disarmed all trials.
func (i *Installer) Remove(ctx context.Context, now Layout) error {
	done, err := i.Done()
	if err != nil {
		return err
	}
	if done == nil {
		return be.ErrNotSetUp
	}
	steps, err := i.removal(*done, now)
	if err != nil {
		return err
	}
	t, err := i.journal().Begin("undoing apt-be init")
	if err != nil {
		return err
	}
	boot, err := json.Marshal(bootOf(done.Machine))
	if err == nil {
		err = i.do(ctx, t, steps)
	}
	if err == nil {
		err = t.Commit(ctx, txn.Step{Kind: stepForget, Args: txn.Args{"boot": string(boot)}})
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot undo apt-be init: %w", err), t.Rollback(context.WithoutCancel(ctx)))
	}
	return i.tidy(*done)
}

func (i *Installer) do(ctx context.Context, t *txn.Txn, steps []Step) error {
	for _, step := range steps {
		if i.Tell != nil {
			i.Tell(step)
		}
		for _, part := range step.Parts {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := t.Do(ctx, part); err != nil {
				return err
			}
		}
	}
	return nil
}

// tidy removes files from which nothing boots any more.
func (i *Installer) tidy(done Done) error {
	if done.Machine.Boot == nil && done.Machine.Loader == be.LoaderGRUB {
		if err := i.store().Delete(be.GRUBDir); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	if done.Machine.Boot != nil {
		if err := i.clearBelow(done.Machine.Subvolume); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(i.path(savedDir)); err != nil {
		return err
	}
	// The registry and the environments stay.
	if mount, err := i.Host.mountAt(HomeMount); err == nil && mount != nil {
		_ = i.Host.Unmount(i.Host.path(HomeMount)) // it may be in use
	}
	return durable.Remove(i.path(doneFile))
}
