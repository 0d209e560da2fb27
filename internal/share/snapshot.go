package share

import (
	"context"
	"fmt"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store"
)

// Snapshot takes snapshots of the shares that an environment mounts, before the machine
// leaves for it, and keeps them as long as the environment exists. They replace earlier
// ones. The caller holds the Lock.
func (s *Shares) Snapshot(_ context.Context, e be.Env) error {
	shares, err := s.List()
	if err != nil {
		return fmt.Errorf("cannot take share snapshots: %w", err)
	}
	before, err := s.registry.ShareSnapshotsOf(e)
	if err != nil {
		return fmt.Errorf("cannot take share snapshots: %w", err)
	}
	var past []be.ShareSnapshot
	for _, share := range shares {
		if !share.MountedBy(e) {
			continue
		}
		p, err := s.snapshot(share)
		if err != nil {
			return fmt.Errorf("cannot take a snapshot of the share %s: %w", share.Name, err)
		}
		past = append(past, p)
	}
	// A snapshot that no record names is garbage.
	if err := s.registry.Change(e, func(r *be.Record) { r.ShareSnapshots = past }); err != nil {
		return fmt.Errorf("cannot take share snapshots: %w", err)
	}
	for _, sub := range before {
		_ = s.destroy(sub.Path) // if this fails, the next command deletes it
	}
	return nil
}

func (s *Shares) snapshot(share Share) (be.ShareSnapshot, error) {
	now := time.Now().UTC()
	var sub store.Subvolume
	at := be.ShareSnapshotDir + "/" + share.Name + now.Format(".20060102T150405.000000000")
	err := s.store.Snapshot(share.Subvolume.Path, at, true)
	if err == nil {
		sub, err = s.store.Get(at)
	}
	return be.ShareSnapshot{Share: share.Name, UUID: sub.UUID, Taken: now.Truncate(time.Second)}, err
}
