package redirect

import (
	"context"

	"github.com/apt-be/apt-be/internal/room"
)

// checkRoom refuses to begin where there is no room for anything. What the
// frontend is about to unpack nobody knows yet: of that apt tells a hook in the
// sandbox, roomHook.
func (s *Supervisor) checkRoom(ctx context.Context) error {
	if s.short() == nil {
		return nil
	}
	// It may be a run that was cut off that has left too little.
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
	return s.short()
}

// cramped is short for when much was just written.
func (s *Supervisor) cramped() error {
	// What is not on disk yet has no room of its own. That it can't be written
	// is no news here.
	_ = s.Registry.Store().Sync()
	return s.short()
}

// short says that less room is left than should stay, nil if it is enough or
// not known: then whatever needs it will tell.
func (s *Supervisor) short() error {
	free, err := s.Registry.Store().Free()
	if err != nil {
		s.Log.Warn(err)
		return nil
	}
	return room.Need{}.Check(free)
}
