package share

import "time"

// SetClock sets the clock by which changes settle.
func (s *Shares) SetClock(now func() time.Time) { s.now = now }
