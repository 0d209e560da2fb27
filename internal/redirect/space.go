package redirect

import (
	"context"
	"errors"
	"strings"

	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// What the hook in a sandbox notes there: why it has stopped apt, since what was to
// be unpacked does not fit; and that it has let apt go on before.
const (
	VetoNote = "/run/apt-be/veto"
	PassNote = "/run/apt-be/pass"
)

// vetoed says whether that hook has stopped a frontend before any package changed.
// aptitude has noted in dpkg's database by then what it meant to do.
func vetoed(result sandbox.Result) bool {
	_, veto := result.Collected[VetoNote]
	_, pass := result.Collected[PassNote]
	return veto && !pass
}

// tellVeto says why the hook has stopped unattended-upgrade, which shows nobody
// what hooks say. What it had upgraded by then, it had.
func (s *Supervisor) tellVeto(job Job, result sandbox.Result) {
	why, noted := result.Collected[VetoNote]
	if noted && job.Frontend == UnattendedUpgrade {
		reason := firstLine(why) // scripts may have written it
		s.Notice.Error(errors.New(reason))
		if strings.Contains(reason, parts.ErrOutside.Error()) {
			s.Notice.Hint("%s", parts.OutsideHint)
		} else {
			s.Notice.Hint("%s", diskspace.Hint)
		}
	}
}

// checkRoom refuses to begin where there is no room for anything. What the
// frontend is about to unpack nobody knows yet: of that apt tells a hook in the
// sandbox, checkSpaceHook.
func (s *Supervisor) checkRoom(ctx context.Context) error {
	if s.checkFree() == nil {
		return nil
	}
	// It may be a run that was cut off that has left too little, or one that has
	// just been discarded.
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

// lowSpace is short for when much was just written.
func (s *Supervisor) lowSpace() error {
	// What is not on disk yet has no room of its own. That it can't be written
	// is no news here.
	_ = s.Registry.Store().Sync()
	return s.checkFree()
}

// checkFree says that less room is left than should stay, nil if it is enough or
// not known: then whatever needs it will tell.
func (s *Supervisor) checkFree() error {
	free, err := s.Registry.Store().Free()
	if err != nil {
		s.Log.Warn(err)
		return nil
	}
	return diskspace.Estimate{}.Check(free)
}
