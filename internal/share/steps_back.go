package share

import (
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/be"
)

// The kinds of steps that turn a share into a directory. Recovery undoes them while the
// environment's fstab names the share, and completes them afterwards.
const (
	stepFill   = "share-fill"   // copies the share to the directory below the mount
	stepFreeze = "share-freeze" // makes the share read-only and unmounts it
	stepLeave  = "share-leave"  // removes the share from the fstab, and deletes it if no other fstab names it
)

// left reports whether the environment's fstab no longer names the share.
func (s *Shares) left(m move) (bool, error) {
	there, err := s.isAt(m.env, m.envUUID)
	if err != nil || !there {
		return true, err
	}
	entered, err := s.entered(m)
	return !entered, err
}

// bared reports whether an interrupted run has unmounted the share; then processes
// write to the directory.
func (s *Shares) bared(m move) (bool, error) {
	if !m.wasMounted {
		return false, nil
	}
	running, err := s.registry.Running()
	if err != nil || running.Subvolume.UUID != m.envUUID {
		return false, err
	}
	mounted, err := s.mounted(m)
	return !mounted, err
}

// unfill empties the directory below the mount again.
func (s *Shares) unfill(m move) error {
	if left, err := s.left(m); err != nil || left {
		return err
	}
	bared, err := s.bared(m)
	if err == nil && bared {
		err = errors.New("the share is not mounted")
	}
	if err != nil {
		return err
	}
	return s.empty(m)
}

// lower unmounts the share, if it is mounted.
func (s *Shares) lower(m move) error {
	if !m.wasMounted {
		return nil
	}
	return s.machine.Unmount(m.dir)
}

// unfreeze makes the share writable again. If it was unmounted, the directory counts, and
// unfreeze completes the operation instead.
func (s *Shares) unfreeze(m move) error {
	if left, err := s.left(m); err != nil || left {
		return err
	}
	bared, err := s.bared(m)
	if err != nil {
		return err
	}
	if bared {
		return s.leaveShare(m)
	}
	// After a reset the share is mounted again, and newer files are in the directory.
	newer, err := s.changed(m.below(), m.copy)
	if err != nil {
		return err
	}
	older, err := s.changed(m.subvolume(), m.old)
	if err != nil {
		return err
	}
	if !newer || older {
		return s.thaw(m)
	}
	if err := s.lower(m); err != nil {
		return err
	}
	return s.leaveShare(m)
}

// leaveShare removes the share from the running environment's fstab.
func (s *Shares) leaveShare(m move) error {
	if err := s.leave(m.env, m.name); err != nil {
		return err
	}
	return s.letGo(m)
}

// letGo deletes the share if no environment mounts it, otherwise makes it writable
// again.
func (s *Shares) letGo(m move) error {
	if left, err := s.left(m); err != nil || !left {
		return err
	}
	shares, err := s.List()
	if err != nil {
		return err
	}
	for _, share := range shares {
		switch {
		case share.Subvolume.UUID != m.uuid:
		case len(share.Mounts) > 0:
			return s.thaw(m)
		case share.Name != m.name:
			return fmt.Errorf("%w: it is the share %s, not %s", be.ErrProtected, share.Name, m.name)
		default:
			if err := s.registry.CheckUnused(share.Subvolume); err != nil {
				return err
			}
			return s.destroy(share.Subvolume.Path)
		}
	}
	return nil
}
