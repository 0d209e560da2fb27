package share

import (
	"errors"
	"fmt"

	"github.com/apt-be/apt-be/internal/be"
)

// The kinds of steps by which a share becomes a directory. What decides is again
// the fstab of the environment: what happened while it names the share is taken
// back, what comes after is finished.
const (
	stepFill  = "share-fill"  // the directory below the mount becomes a copy
	stepLift  = "share-lift"  // the share can't be changed, and is unmounted
	stepLeave = "share-leave" // the fstab names the share no more, which goes if it was the last one
)

// left says whether the environment mounts the share no more.
func (s *Shares) left(m move) (bool, error) {
	there, err := s.isAt(m.env, m.envUUID)
	if err != nil || !there {
		return true, err
	}
	entered, err := s.entered(m)
	return !entered, err
}

// bared says whether a cut-off run has unmounted the share: then the directory is
// what everybody writes to.
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

// lower unmounts the share, where it was mounted.
func (s *Shares) lower(m move) error {
	if !m.wasMounted {
		return nil
	}
	return s.machine.Unmount(m.dir)
}

// unlift lets the share be changed again. But once it was unmounted the directory
// is what counts: then the rest is done.
func (s *Shares) unlift(m move) error {
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
	// After a reset it is mounted again, and what came between is in the directory.
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

// leaveShare has the running environment not mount the share any more.
func (s *Shares) leaveShare(m move) error {
	if err := s.leave(m.env, m.name); err != nil {
		return err
	}
	return s.letGo(m)
}

// letGo deletes the share if no environment mounts it any more, or else lets it be
// changed again.
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
			return fmt.Errorf("%w: it is the share %s, and not %s", be.ErrProtected, share.Name, m.name)
		default:
			if err := s.registry.CheckUnused(share.Subvolume); err != nil {
				return err
			}
			return s.destroy(share.Subvolume.Path)
		}
	}
	return nil
}
