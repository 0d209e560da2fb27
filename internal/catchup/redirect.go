package catchup

import (
	"context"
	"fmt"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// patience is how long to wait for another user of an environment.
const patience = 10 * time.Second

// Attach gives a supervisor the functions that compute and carry the running system's
// changes.
func Attach(s *redirect.Supervisor) {
	s.Drift = func(e be.Env) (string, error) { return Preview(s.Registry, e) }
	s.CatchUp = func(ctx context.Context, e be.Env, then func(*be.Build) (bool, error), edit func(*be.Record)) error {
		return catchUp(ctx, s, e, Options{BeforeCommit: then, EditRecord: edit})
	}
}

// catchUp syncs an environment with options o. The caller holds the running system's
// dpkg locks.
func catchUp(ctx context.Context, s *redirect.Supervisor, e be.Env, o Options) error {
	p, err := PairOf(s.Registry, e)
	if err != nil {
		return err
	}
	c := Syncer{
		Registry: s.Registry,
		Sandbox:  s,
		Notice:   s.Notice,
		LockEnv: func(ctx context.Context, e be.Env) (*txn.Lock, error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return s.Registry.Use(ctx, e)
		},
		LockPackages: func(context.Context, be.Env) (func(), error) { return func() {}, nil },
		MountPoints:  func(e be.Env) []string { return MountPoints(s.Registry.Store(), e) },
		OnRecovered:  func(recovered []txn.Recovered) { redirect.TellRecovered(s.Notice, s.Log, recovered) },
	}
	_, err = c.Sync(ctx, p, o)
	return err
}

// MountPoints returns the mount points of an environment on this machine.
func MountPoints(st store.Store, e be.Env) []string {
	dirs, err := mounts.Of(st.Device(), e.Subvolume.Path)
	if err != nil {
		return []string{fmt.Sprintf("(%v)", err)} // treat an unknown state as mounted
	}
	return dirs
}
