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

// settle is the time between two looks at what may still be changing.
const settle = 25 * time.Millisecond

// copyTree brings a mirror up to date with what may be in use: a *Refusal if that
// goes on changing.
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

// written refuses because of what has changed since it was copied.
func written(changed []string) *Refusal {
	return refuse("there was written to meanwhile: %s", list(changed)).hint("stop what writes there, and try again")
}

// Add makes a directory a share. The caller holds the Lock, and has planned it
// since. Until the fstab of the running environment names the share all is taken
// back on an error, and finished afterwards.
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

// cover mounts the copy over the directory, at a moment at which it is the same:
// what is written until it is mounted is copied too, and afterwards nobody can
// write to it before it is all that counts.
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
		// Nobody comes to it by its path any more, but those who have it open.
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

// openTrees opens two directories of the store, whose owners are numbers.
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
