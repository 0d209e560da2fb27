package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/overlay"
	"github.com/apt-be/apt-be/internal/ui"
)

func doArm(_ context.Context, l *Lifecycle, w *work) error {
	_, err := l.Act.Arm(w.env, w.options)
	return err
}

func doChoose(_ context.Context, l *Lifecycle, w *work) error { return l.Act.Choose(w.env) }

func doBeginSync(_ context.Context, l *Lifecycle, w *work) error { return l.Act.BeginSync(w.env) }

// doSync carries the changes of the running system to the environment.
func doSync(ctx context.Context, l *Lifecycle, w *work) error {
	resume, err := l.Machine.Suspend(w.env)
	if err != nil {
		return err
	}
	if err := doSyncCopy(ctx, l, w); err != nil {
		return err
	}
	return resume(w.env)
}

// doSyncCopy is sync without a prepared soft-reboot or kexec: early in a first boot, it
// carries the changes of the old system to a copy of the running root.
func doSyncCopy(ctx context.Context, l *Lifecycle, w *work) (err error) {
	if w.found, err = l.syncTrial(ctx, w.env); err == nil {
		w.env, err = l.Registry.Get(w.env.Name)
	}
	return err
}

// syncTrial syncs an environment on trial and returns the drift.
func (l *Lifecycle) syncTrial(ctx context.Context, e be.Env) (*drift.Drift, error) {
	synced := func(r *be.Record) {
		r.HoldReason = ""
		if r.Trial != nil { // otherwise it was cancelled meanwhile
			r.Trial.Synced = time.Now().UTC().Truncate(time.Second)
		}
	}
	p, err := catchup.PairOf(l.Registry, e)
	if errors.Is(err, catchup.ErrNoSource) { // it lacks nothing
		return &drift.Drift{}, l.Locked(ctx, func() error { return l.Registry.Change(e, synced) })
	}
	if err != nil {
		return nil, err
	}
	return l.Syncer.Sync(ctx, p, catchup.Options{EditRecord: synced})
}

// doSnapshotShares snapshots the shares at the departure. An error does not stop the
// machine.
func doSnapshotShares(ctx context.Context, l *Lifecycle, w *work) error {
	e, err := l.Registry.Get(w.env.Name)
	if err == nil {
		w.env = e
		err = l.Locked(ctx, func() error { return l.Shares.Snapshot(ctx, e) })
	}
	if err != nil {
		l.Log.Warn(err)
	}
	return nil
}

// doAddLayers copies the additions of an environment to other file systems. Repeating it
// does no harm, and an error does not stop the machine.
func doAddLayers(_ context.Context, l *Lifecycle, w *work) error {
	layers, err := l.Layers(w.env)
	if err != nil {
		l.Log.Warn(err)
	}
	for _, layer := range layers {
		if _, err := layer.Add(); err != nil {
			l.Log.Warn(err)
		}
	}
	return nil
}

// Layers returns the overlays of an environment whose file systems are mounted.
func (l *Lifecycle) Layers(e be.Env) ([]overlay.Layer, error) {
	st := l.Registry.Store()
	all, err := overlay.Layers(st.Path(be.ScratchDir(e.Subvolume.UUID)), l.Root, st.Path(e.Subvolume.Path))
	if err != nil || len(all) == 0 {
		return nil, err
	}
	points, err := mounts.Points()
	if err != nil {
		return nil, err
	}
	var mounted []overlay.Layer
	for _, layer := range all {
		if _, ok := points[layer.Target]; ok {
			mounted = append(mounted, layer)
		}
	}
	return mounted, nil
}

// doConfirm makes the boot loader take a wanted trial.
func doConfirm(ctx context.Context, l *Lifecycle, w *work) error {
	w.confirmed = true
	return l.Locked(ctx, func() error {
		e, err := l.Registry.Get(w.env.Name)
		if err != nil {
			return err
		}
		return l.Act.Confirm(e)
	})
}

// doStay makes the machine boot the default by every method, and records the reason. If
// only space or time was missing, the next shutdown tries again; otherwise the user
// must decide.
func doStay(ctx context.Context, l *Lifecycle, w *work) error {
	// The process may have received SIGTERM, because its time is over.
	ctx = context.WithoutCancel(ctx)
	return l.Locked(ctx, func() error {
		e, err := l.Registry.Get(w.env.Name)
		if err != nil {
			return err
		}
		note := ui.Printable(w.why.Error())
		if t := e.Record.Trial; t != nil && t.Method == be.Reboot && passing(w.why) {
			return errors.Join(l.Machine.Unprepare(), l.Act.Postpone(e, note))
		}
		return errors.Join(l.Machine.Unprepare(), l.Act.CancelTrial(e, note))
	})
}

// doArmAgain arms a trial of the running environment, with the options of the present
// trial.
func doArmAgain(ctx context.Context, l *Lifecycle, w *work) error {
	return l.Locked(ctx, func() error {
		e, err := l.Registry.Running()
		if err != nil {
			return err
		}
		o, err := l.TrialOptions(ctx, be.Reboot)
		if err != nil {
			return err
		}
		if t := e.Record.Trial; t != nil {
			o.Once, o.Deadline, o.Units = t.Once, t.Deadline, t.Units
		}
		o.NoFallback = true // the risk was accepted before
		if _, err := l.Act.Arm(e, o); err != nil {
			return err
		}
		w.env, err = l.Registry.Running()
		return err
	})
}

func doLeave(ctx context.Context, l *Lifecycle, w *work) error {
	w.leaving = true
	l.Log.Warnf("%s lacked the latest changes of the old system: the machine boots it once more", w.env.Name)
	return l.Machine.Leave(ctx)
}

// doLeaveOrStay follows a failed sync in a first boot. If the copy has replaced the
// environment, the running root is no longer in the registry, and the machine must leave
// it. Otherwise the machine boots the default, unless a user has picked the environment
// in the menu, and may have no other choice.
func doLeaveOrStay(ctx context.Context, l *Lifecycle, w *work) error {
	switch {
	case w.leaving: // the reboot itself failed
		return nil
	case w.confirmed:
		w.leaving = true
		return l.Machine.Leave(ctx)
	case w.nonce == "":
		return l.Locked(ctx, l.Act.Disarm)
	}
	w.leaving = true
	return errors.Join(doStay(ctx, l, w), l.Machine.Leave(ctx))
}

func doStartTrial(_ context.Context, l *Lifecycle, w *work) error {
	return l.Machine.BeginTrial(*w.env.Record.Trial)
}

func doKeepJournal(ctx context.Context, l *Lifecycle, w *work) error {
	return l.Machine.KeepJournal(ctx, l.Registry.Store(), w.env)
}

func doBless(_ context.Context, l *Lifecycle, _ *work) error {
	_, err := l.Act.Bless()
	return err
}

func doEndTrial(_ context.Context, l *Lifecycle, _ *work) error { return l.Machine.EndTrial() }

func doRecordFault(_ context.Context, l *Lifecycle, w *work) (err error) {
	w.back, err = l.Act.Fail(w.fault)
	return err
}

func doUnprepare(_ context.Context, l *Lifecycle, _ *work) error { return l.Machine.Unprepare() }

func doDeactivate(_ context.Context, l *Lifecycle, w *work) (err error) {
	w.next, err = l.Act.Deactivate()
	return err
}

// doDisarm cancels only a trial, not a user's choice of the default.
func doDisarm(_ context.Context, l *Lifecycle, _ *work) error {
	if err := l.Act.Disarm(); err != nil {
		return err
	}
	name, err := l.Act.Loader.Default()
	if err != nil {
		return err
	}
	l.Notice.Say("The next boot takes %s.", name)
	return nil
}

func doMarkStale(_ context.Context, l *Lifecycle, w *work) error {
	return l.Registry.Change(w.env, func(r *be.Record) {
		r.State, r.Reason = be.Stale, "packages of the running system changed since it was made"
	})
}

func doReplay(ctx context.Context, l *Lifecycle, w *work) error {
	p, err := catchup.PairOf(l.Registry, w.env)
	if err != nil {
		return err
	}
	w.found, err = l.Syncer.Sync(ctx, p, catchup.Options{Replay: true, EditRecord: func(r *be.Record) {
		if r.State == be.Stale {
			r.State, r.Reason = be.Ready, ""
		}
	}})
	if err != nil {
		return fmt.Errorf("cannot repeat the package changes of %s: %w", p.Source.Name, err)
	}
	return nil
}
