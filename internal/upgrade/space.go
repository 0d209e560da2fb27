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
func (r *run) checkSpace(ctx context.Context) error {
	if r.checkFree() == nil {
		return nil
	}
	// An interrupted run, or a build that was just discarded, may still occupy the
	// space.
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	release, err := r.Registry.Lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	recovered, err := r.Registry.Recover(ctx)
	report.TellRecovered(r.Notice, r.Log, recovered)
	if err != nil {
		return err
	}
	if err := r.Registry.Store().WaitForDeletions(ctx); err != nil {
		r.Log.Debug(err)
	}
	return r.checkFree()
}

// lowSpace is checkFree after large writes.
func (r *run) lowSpace() error {
	// Unwritten data has no space allocated yet. An error in writing it is reported
	// elsewhere.
	_ = r.Registry.Store().Sync()
	return r.checkFree()
}

// checkFree fails if less than the reserve is free. It returns nil if the free space is
// unknown: then the write that needs the space fails.
func (r *run) checkFree() error {
	free, err := r.Registry.Store().Free()
	if err != nil {
		r.Log.Warn(err)
		return nil
	}
	return diskspace.Estimate{}.Check(free)
}
