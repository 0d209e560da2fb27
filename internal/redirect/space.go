package redirect

import (
	"context"
	"errors"
	"strings"

	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Files that the hook writes in a sandbox: the reason why it stopped apt, and a mark
// that it has let apt continue.
const (
	VetoNote = "/run/apt-be/veto"
	PassNote = "/run/apt-be/pass"
)

// vetoed reports whether the hook stopped a frontend before any package changed.
// aptitude has written its selections to dpkg's database by then.
func vetoed(result sandbox.Result) bool {
	_, veto := result.Collected[VetoNote]
	_, pass := result.Collected[PassNote]
	return veto && !pass
}

// tellVeto prints why the hook stopped unattended-upgrade, which does not show the
// output of hooks. Packages that it upgraded before stay upgraded.
func (s *Supervisor) tellVeto(job Job, result sandbox.Result) {
	why, noted := result.Collected[VetoNote]
	if noted && job.Frontend == UnattendedUpgrade {
		reason := firstLine(why) // maintainer scripts may have written it
		s.Notice.Error(errors.New(reason))
		if strings.Contains(reason, parts.ErrOutside.Error()) {
			s.Notice.Hint("%s", parts.OutsideHint)
		} else {
			s.Notice.Hint("%s", diskspace.Hint)
		}
	}
}

// checkSpace fails if less than the reserve is free. The size of the upgrade is not
// known yet: apt passes it to checkSpaceHook, inside the sandbox.
func (s *Supervisor) checkSpace(ctx context.Context) error {
	if s.checkFree() == nil {
		return nil
	}
	// An interrupted run, or a build that was just discarded, may still occupy the
	// space.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := s.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	recovered, err := s.Registry.Recover(ctx)
	TellRecovered(s.Notice, s.Log, recovered)
	if err != nil {
		return err
	}
	if err := s.Registry.Store().WaitForDeletions(ctx); err != nil {
		s.Log.Debug(err)
	}
	return s.checkFree()
}

// lowSpace is checkFree after large writes.
func (s *Supervisor) lowSpace() error {
	// Unwritten data has no space allocated yet. An error in writing it is reported
	// elsewhere.
	_ = s.Registry.Store().Sync()
	return s.checkFree()
}

// checkFree fails if less than the reserve is free. It returns nil if the free space is
// unknown: then the write that needs the space fails.
func (s *Supervisor) checkFree() error {
	free, err := s.Registry.Store().Free()
	if err != nil {
		s.Log.Warn(err)
		return nil
	}
	return diskspace.Estimate{}.Check(free)
}
