package catchup

import (
	"context"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/report"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/ui"
)

// patience is how long to wait for another user of an environment.
const patience = 10 * time.Second

// ForUpgrade returns a Syncer for an upgrade, which holds the running system's dpkg
// locks.
func ForUpgrade(reg *be.Registry, launcher *inside.Launcher, notice *ui.Notice, log logrus.FieldLogger) *Syncer {
	return &Syncer{
		Registry: reg,
		Sandbox:  launcher,
		Notice:   notice,
		LockEnv: func(ctx context.Context, e be.Env) (*txn.Lock, error) {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			return reg.Use(ctx, e)
		},
		LockPackages: func(context.Context, be.Env) (func(), error) { return func() {}, nil },
		MountPoints:  func(e be.Env) []string { return MountPoints(reg.Store(), e) },
		OnRecovered:  func(recovered []txn.Recovered) { report.TellRecovered(notice, log, recovered) },
	}
}

// Preview is the function Preview for the Syncer's registry.
func (c *Syncer) Preview(e be.Env) (summary string, err error) { return Preview(c.Registry, e) }

// SyncEnv is Sync for the pair of an environment and its origin.
func (c *Syncer) SyncEnv(ctx context.Context, e be.Env, o Options) error {
	p, err := PairOf(c.Registry, e)
	if err != nil {
		return err
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
