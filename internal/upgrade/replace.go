package upgrade

import (
	"context"
	"errors"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
)

// replaceOlder destroys the environments that a new one makes useless: earlier
// redirected upgrades that were never booted, and older failed ones.
func (r *run) replaceOlder(ctx context.Context, e be.Env) {
	release, err := r.Registry.Lock(ctx)
	if err != nil {
		r.Log.WithError(err).Warn("cannot destroy the boot environments that this one replaces")
		return
	}
	defer release()
	defer r.refreshMenu()
	envs, err := r.Registry.List()
	if err != nil {
		r.Log.WithError(err).Warn("cannot destroy the boot environments that this one replaces")
		return
	}
	for _, old := range envs {
		if !Replaces(e, old) || be.CheckDestroy(envs, old.Name, r.inUse) != nil {
			continue
		}
		err := r.Registry.Destroy(ctx, old)
		if lost := (*be.NestedError)(nil); errors.As(err, &lost) {
			r.Notice.Say("%s is not replaced: %v. To delete it with these subvolumes, run `apt-be destroy --accept-risk delete-nested %s`.", old.Name, lost, old.Name)
			continue
		}
		if err != nil {
			r.Log.WithError(err).Warnf("cannot destroy boot environment %s", old.Name)
			continue
		}
		if e.Record.State != be.Failed {
			why := ""
			if r.outdated.name == old.Name {
				why = ", because " + r.outdated.why + " since it was made"
			}
			r.Notice.Say("It replaces the pending environment %s%s.", old.Name, why)
		}
	}
}

// inUse reports whether a process runs in an environment, or it is mounted. It returns
// true if that cannot be determined.
func (u *Upgrader) inUse(e be.Env) bool {
	dirs, err := mounts.Of(u.Registry.Store().Device(), e.Subvolume.Path)
	return err != nil || len(dirs) > 0 || u.Registry.InUse(e)
}

// Replaces reports whether a new environment makes an older one useless.
func Replaces(e, old be.Env) bool {
	if old.Name == e.Name || old.Record.Kept || old.Record.Modified || old.Armed || old.Record.CreatedBy != be.Redirect && old.Record.CreatedBy != be.Command {
		return false
	}
	if e.Record.State == be.Failed {
		return old.Record.State == be.Failed
	}
	return e.Record.CreatedBy == be.Redirect && old.Record.CreatedBy == be.Redirect &&
		(old.Record.State == be.Ready || old.Record.State == be.Stale) && old.Record.OriginUUID == e.Record.OriginUUID
}
