package upgrade

import (
	"context"
	"errors"
	"strings"

	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/report"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// tellVeto prints why the hook stopped unattended-upgrade, which does not show the
// output of hooks. Packages that it upgraded before stay upgraded.
func (r *run) tellVeto(result sandbox.Result) {
	why, noted := result.Collected[inside.VetoNote]
	if noted && r.job.Frontend == frontend.UnattendedUpgrade {
		reason := firstLine(why) // maintainer scripts may have written it
		r.Notice.Error(errors.New(reason))
		if strings.Contains(reason, parts.ErrOutside.Error()) {
			r.Notice.Hint("%s", parts.OutsideHint)
		} else {
			r.Notice.Hint("%s", diskspace.Hint)
		}
	}
}

// checkSpace fails if less than the reserve is free. The size of the upgrade is not
// known yet: apt passes it to checkSpaceHook, inside the sandbox.
func (u *Upgrader) checkSpace(ctx context.Context) error {
	if u.checkFree() == nil {
		return nil
	}
	// An interrupted run, or a build that was just discarded, may still occupy the
	// space.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := u.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	recovered, err := u.Registry.Recover(ctx)
	report.TellRecovered(u.Notice, u.Log, recovered)
	if err != nil {
		return err
	}
	if err := u.Registry.Store().WaitForDeletions(ctx); err != nil {
		u.Log.Debug(err)
	}
	return u.checkFree()
}

// lowSpace is checkFree after large writes.
func (u *Upgrader) lowSpace() error {
	// Unwritten data has no space allocated yet. An error in writing it is reported
	// elsewhere.
	_ = u.Registry.Store().Sync()
	return u.checkFree()
}

// checkFree fails if less than the reserve is free. It returns nil if the free space is
// unknown: then the write that needs the space fails.
func (u *Upgrader) checkFree() error {
	free, err := u.Registry.Store().Free()
	if err != nil {
		u.Log.Warn(err)
		return nil
	}
	return diskspace.Estimate{}.Check(free)
}
