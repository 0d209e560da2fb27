package share

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/procs"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/txn"
)

// RiskDeleteShare is the name of the risk of RemoveOptions.Delete.
const RiskDeleteShare = "delete-share"

// RemoveOptions are the options of PlanRemove.
type RemoveOptions struct {
	NameOrPath string // the share's name, or its mount point in the running environment
	Delete     bool   // also if no environment mounts it; this deletes its data
}

// Removal is a share that can be removed.
type Removal struct {
	Share   Share
	Running be.Env
	Back    bool     // the data is moved back into the running environment; otherwise it is deleted
	Others  []be.Env // the environments that continue to mount it
}

// PlanRemove checks whether the data of a share can be moved back into the running
// environment, or, if no environment mounts the share, be deleted. Errors: *Refusal,
// ErrNotFound.
func (s *Shares) PlanRemove(o RemoveOptions) (*Removal, error) {
	r, err := s.planRemove(o)
	if err != nil {
		return nil, fmt.Errorf("cannot remove the share %s: %w", o.NameOrPath, err)
	}
	return r, nil
}

func (s *Shares) planRemove(o RemoveOptions) (*Removal, error) {
	share, running, err := s.findHere(o.NameOrPath)
	if err != nil {
		return nil, err
	}
	r := &Removal{Share: share, Running: running, Back: share.MountedBy(running)}
	for _, m := range share.Mounts {
		if m.Env.Subvolume.UUID != running.Subvolume.UUID {
			r.Others = append(r.Others, m.Env)
		}
	}
	if err := s.quiet(); err != nil {
		return nil, err
	}
	switch {
	case r.Back:
		return r, s.checkBack(r)
	case len(r.Others) > 0:
		return nil, refuse("boot environment %s mounts it, but not the running one", r.Others[0].Name)
	case !o.Delete:
		return nil, refuse("no boot environment mounts it, so its data would be deleted: %s", s.describe(share)).
			hint("to delete it, use --accept-risk %s", RiskDeleteShare)
	}
	return r, nil
}

// describe describes the content of a share.
func (s *Shares) describe(share Share) string {
	files, bytes := 0, int64(0)
	_ = filepath.WalkDir(s.store.Path(share.Subvolume.Path), func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files++
			if info, err := entry.Info(); err == nil && info.Mode().IsRegular() {
				bytes += info.Size()
			}
		}
		return nil
	})
	return fmt.Sprintf("%d files of %d bytes", files, bytes)
}

// checkBack refuses a share whose data cannot be moved back.
func (s *Shares) checkBack(r *Removal) error {
	dir := r.Share.Path
	points, err := s.machine.Points()
	if err != nil {
		return err
	}
	for point, what := range points {
		switch {
		case point == dir && what != r.Share.Subvolume.Path:
			return refuse("something else is mounted at %s", dir)
		case point != dir && within(point, dir):
			return refuse("%s is mounted in it", point)
		}
	}
	nested, err := s.store.Nested(r.Share.Subvolume.Path)
	if err != nil {
		return err
	}
	if len(nested) > 0 {
		return refuse("it contains subvolumes, such as %s", dir+strings.TrimPrefix(nested[0].Path, r.Share.Subvolume.Path))
	}
	below, err := s.hasData(r.Running, dir)
	if err != nil {
		return err
	}
	if below {
		return refuse("%s has its own data at %s, below the mount", r.Running.Name, dir).
			hint("to move or delete this data, mount the boot environment: apt-be mount --writable %s", r.Running.Name)
	}
	return s.checkIdle(r.Share)
}

// checkIdle refuses a share with open files, because it cannot be unmounted.
func (s *Shares) checkIdle(share Share) error {
	device, err := deviceOf(s.store.Path(share.Subvolume.Path))
	if err != nil {
		return err
	}
	users, err := s.machine.Users(func(f procs.File) bool { return f.Device == device })
	if err == nil && len(users) > 0 {
		err = inUse(users)
	}
	return err
}

// Remove moves the data of a share back into the running environment, and deletes the
// share if no other environment mounts it. The caller holds the Lock and has called
// PlanRemove since. While the fstab names the share, an error undoes everything;
// afterwards, recovery completes the operation.
func (s *Shares) Remove(ctx context.Context, r *Removal) error {
	if !r.Back {
		if err := s.store.Delete(r.Share.Subvolume.Path); err != nil {
			return fmt.Errorf("cannot remove the share %s: %w", r.Share.Name, err)
		}
		return nil
	}
	t, err := s.registry.Transaction("putting " + r.Share.Path + " back")
	if err == nil {
		err = s.remove(ctx, t, r)
	}
	if err != nil {
		return fmt.Errorf("cannot remove the share %s: %w", r.Share.Name, err)
	}
	return nil
}

func (s *Shares) remove(ctx context.Context, t *txn.Txn, r *Removal) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, t.Rollback(ctx))
		}
	}()
	m := move{
		name: r.Share.Name, uuid: r.Share.Subvolume.UUID, dir: r.Share.Path,
		env: r.Running.Subvolume.Path, envUUID: r.Running.Subvolume.UUID,
	}
	if m.wasMounted, err = s.mounted(m); err != nil {
		return err
	}
	if err := t.Do(ctx, m.step(stepFill)); err != nil {
		return err
	}
	to, from, err := s.openTrees(m.below(), m.subvolume())
	if err != nil {
		return err
	}
	defer to.Close()
	defer from.Close()
	if err := s.bringBack(ctx, t, &m, to, from); err != nil {
		return err
	}
	if err := s.lower(m); err != nil {
		return err
	}
	if err := t.Do(ctx, m.step(stepLeave)); err != nil {
		return err
	}
	return s.end(t)
}

// bringBack copies the share to the directory below the mount, and makes the share
// read-only before the last copy.
func (s *Shares) bringBack(ctx context.Context, t *txn.Txn, m *move, to, from *rootfs.Root) error {
	mirror := s.mirror(to, from)
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
		var err error
		if m.copy, err = to.Fingerprint(); err != nil {
			return err
		}
		if err := t.Do(ctx, m.step(stepFreeze)); err != nil {
			return err
		}
		if changed, err = mirror.Changed(); err != nil || len(changed) == 0 {
			return err
		}
		if err := s.thaw(*m); err != nil {
			return err
		}
	}
	return written(changed)
}
