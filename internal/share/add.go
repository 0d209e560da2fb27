package share

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apt-be/apt-be/internal/procs"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/txn"
)

// settle is the time between two checks of a directory that may be changing.
const settle = 25 * time.Millisecond

// copyTree copies changes until the copy is complete. It returns a *Refusal if the tree
// keeps changing.
func copyTree(ctx context.Context, mirror *rootfs.Mirror) error {
	const passes = 50
	var changed []string
	for n := range passes {
		if n > 1 {
			time.Sleep(settle)
		}
		var err error
		if changed, err = mirror.Pass(ctx); err != nil {
			return err
		}
		if len(changed) == 0 {
			return mirror.Finish()
		}
	}
	return written(changed)
}

// written returns the refusal for files that changed after they were copied.
func written(changed []string) *Refusal {
	return refuse("files changed meanwhile: %s", list(changed)).hint("stop the processes that write there, and try again")
}

// Add makes a directory a share. The caller holds the Lock and has called PlanAdd
// since. Before the fstab of the running environment names the share, an error undoes
// everything; afterwards, recovery completes the operation.
func (s *Shares) Add(ctx context.Context, a *Addition) error {
	t, err := s.registry.Transaction("making " + a.Path + " a share")
	if err == nil {
		err = s.add(ctx, t, a)
	}
	if err != nil {
		return fmt.Errorf("cannot make %s a share: %w", a.Path, err)
	}
	return nil
}

func (s *Shares) add(ctx context.Context, t *txn.Txn, a *Addition) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Rollback(ctx))
		}
	}()
	fresh := freshPlace(t.ID)
	if err := t.Do(ctx, txn.Step{Kind: stepMake, Args: txn.Args{"dst": fresh}}); err != nil {
		return err
	}
	to, from, err := s.openTrees(fresh, a.Running.Subvolume.Path+a.Path)
	if err != nil {
		return err
	}
	defer to.Close()
	defer from.Close()
	mirror := s.mirror(to, from)
	if err := copyTree(ctx, mirror); err != nil {
		return err
	}
	m, err := s.moveOf(a, fresh)
	if err != nil {
		return err
	}
	if err := t.Do(ctx, m.step(stepName)); err != nil {
		return err
	}
	if err := s.cover(ctx, t, a, &m, mirror); err != nil {
		return err
	}
	for _, kind := range []string{stepEnter, stepEmpty} {
		if err := t.Do(ctx, m.step(kind)); err != nil {
			return err
		}
	}
	return s.end(t)
}

// cover mounts the copy over the directory at a moment when both are equal. It copies
// changes until the mount is made; the share is read-only then, so that no write is
// lost before the share replaces the directory.
func (s *Shares) cover(ctx context.Context, t *txn.Txn, a *Addition, m *move, mirror *rootfs.Mirror) error {
	const tries = 10
	var changed []string
	for range tries {
		if err := copyTree(ctx, mirror); err != nil {
			return err
		}
		if err := s.store.Sync(); err != nil {
			return err
		}
		m.old = mirror.Fingerprint()
		if err := t.Do(ctx, m.step(stepMount)); err != nil {
			return err
		}
		// After the mount, only processes that have files open can reach the directory.
		inodes := mirror.Inodes()
		if err := s.refuseWriters(a, func(f procs.File) bool { return inodes[f.Inode] }); err != nil {
			return err
		}
		var err error
		if changed, err = mirror.Changed(); err != nil || len(changed) == 0 {
			return err
		}
		if err := s.uncover(*m); err != nil {
			return err
		}
	}
	return written(changed)
}

// openTrees opens two directories of the store. Owners are numbers there.
func (s *Shares) openTrees(a, b string) (first, second *rootfs.Root, err error) {
	if first, err = s.openTree(a); err != nil {
		return nil, nil, err
	}
	if second, err = s.openTree(b); err != nil {
		first.Close()
		return nil, nil, err
	}
	return first, second, nil
}
