package succession

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

// patience is how long to wait for somebody who works in an environment.
const patience = 10 * time.Second

// Equip has a supervisor know what happened in the running system.
func Equip(s *redirect.Supervisor) {
	s.Drift = func(e be.Env) (string, error) { return Look(s.Registry, e) }
	s.Advance = func(ctx context.Context, e be.Env, then func(*be.Build) (bool, error), edit func(*be.Record)) error {
		return advance(ctx, s, e, Options{Then: then, Edit: edit})
	}
}

// advance carries over what happened, as o says. The caller has dpkg's locks of the
// running system.
func advance(ctx context.Context, s *redirect.Supervisor, e be.Env, o Options) error {
	l, err := Of(s.Registry, e)
	if err != nil {
		return err
	}
	c := Carrier{
		Registry: s.Registry,
		Sandbox:  s,
		Notice:   s.Notice,
		Use: func(ctx context.Context, e be.Env) (*txn.Lock, error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return s.Registry.Use(ctx, e)
		},
		Hold:    func(context.Context, be.Env) (func(), error) { return func() {}, nil },
		Mounted: func(e be.Env) []string { return Mounted(s.Registry.Store(), e) },
		Settled: func(recovered []txn.Recovered) { redirect.TellRecovered(s.Notice, s.Log, recovered) },
	}
	_, err = c.Carry(ctx, l, o)
	return err
}

// Mounted returns where an environment of this machine is mounted.
func Mounted(st store.Store, e be.Env) []string {
	dirs, err := mounts.Of(st.Device(), e.Subvolume.Path)
	if err != nil {
		return []string{fmt.Sprintf("(%v)", err)} // not known to be free, so not free
	}
	return dirs
}
