package share

import "time"

// SetClock sets the clock that decides when changes have settled.
func (s *Shares) SetClock(now func() time.Time) { s.now = now }
