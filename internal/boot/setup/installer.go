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

// Installer prepares a machine, and takes that back. Its caller holds the
// registry's Lock.
type Installer struct {
	Host     *Host
	Registry *be.Registry
	// Menu writes the menu of all environments, with the loader that the
	// registry's Boot tells of, and makes one of them the default. RemoveMenu
	// removes the menu and all that belongs to it.
	Menu       func(defaultName string) error
	RemoveMenu func() error
	// Tell is told of each step before it is done; it may be nil.
	Tell func(Step)
}

// Done is what a machine was prepared by, in @apt-be/setup.json. It is there
// from the end of apt-be init to the end of apt-be init --undo.
type Done struct {
	Schema  int       `json:"schema"`
	ID      string    `json:"id"` // of the transaction
	Time    time.Time `json:"time"`
	Machine Layout    `json:"machine"` // as it was before
	// DefaultEntry is what systemd-boot booted without a choice before.
	DefaultEntry string `json:"default_entry,omitempty"`
	// Overrides are the generators of GRUB's menu and what dpkg-statoverride
	// and chmod had for them.
	Overrides []Override `json:"overrides,omitempty"`
}

const doneSchema = 1

// The files and directories of this package in the top-level subvolume.
const (
	doneFile   = be.HomeDir + "/setup.json"
	journalDir = be.HomeDir + "/journal-setup"
	savedDir   = be.HomeDir + "/saved-entries"
)

// journal is where transactions of this package are entered: not in the
// registry's own, whose owner has no handlers for them. They are undone in
// order: what the loader goes by stays until it goes by something else.
func (i *Installer) journal() *txn.Journal {
	return &txn.Journal{Dir: i.path(journalDir), Handlers: i.handlers(), InOrder: true}
}

// Recover settles an apt-be init that was cut off: what it did is undone.
// Likewise an init --undo. Every command that changes something calls it.
func (i *Installer) Recover(ctx context.Context) ([]txn.Recovered, error) {
	recovered, err := i.journal().Recover(ctx)
	recovered = slices.DeleteFunc(recovered, func(t txn.Recovered) bool {
		var bad *txn.UnreadableError // Unreadable has it
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
		// An init --undo ends with the removal of boot.json, and tidies up after it.
		return recovered, i.tidy(*done)
	case err == nil && done.Machine.Loader == be.LoaderGRUB && isFile(i.Host.path(grubBefore)):
		_ = i.clearUp(ctx, done.Machine) // as Install does
	}
	return recovered, nil
}

// CutOff says whether an apt-be init, or its undo, is not settled. The caller
// knows that none is under way.
func (i *Installer) CutOff() (bool, error) {
	unsettled, err := i.journal().Unsettled()
	return len(unsettled) > 0, err
}

// Done reads what the machine was prepared by; nil if it was not.
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
		err = errors.New("it says nothing of a loader")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read what apt-be init did: %w", i.Registry.UnreadableFile(path.Base(doneFile), err))
	}
	return &done, nil
}

// Mend writes anew what the registry keeps of a machine that was prepared, if that
// can't be read. It must not be removed instead: without it, Recover takes the
// machine for one that was set back.
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

// Unreadable lists the files of this package that can't be read, or mean nothing.
func (i *Installer) Unreadable() ([]*be.UnreadableError, error) {
	var bad []*be.UnreadableError
	var e *be.UnreadableError
	if _, err := i.Done(); errors.As(err, &e) {
		bad = append(bad, e)
	}
	journals, err := i.Registry.UnreadableJournals(i.journal())
	return append(bad, journals...), err
}

// path is the name of a file in the store.
func (i *Installer) path(path string) string { return i.store().Path(path) }

func (i *Installer) store() store.Store { return i.Registry.Store() }

// Install does all that Plan says, or nothing.
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
	// What is left of before takes room, which is no reason to fail.
	_ = i.clearUp(ctx, m)
	return nil
}

// clearUp removes what the loader went by before a machine was prepared. It is
// no step of that: as long as all can be undone, the old menu finds its kernels.
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

// Remove takes back what Install did: the machine boots by itself again, with
// all that happened to it meanwhile. The caller has disarmed all trials.
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
	t, err := i.journal().Begin("taking back what apt-be init did")
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
		return errors.Join(fmt.Errorf("cannot take back what apt-be init did: %w", err), t.Rollback(context.WithoutCancel(ctx)))
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

// tidy removes what nothing boots from any more.
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
	// The registry stays, as the environments do.
	if mount, err := i.Host.mountAt(HomeMount); err == nil && mount != nil {
		_ = i.Host.Unmount(i.Host.path(HomeMount)) // somebody may be looking into it
	}
	return durable.Remove(i.path(doneFile))
}
