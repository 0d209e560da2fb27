package health

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/systemd"
)

// ErrServices reports unhealthy services.
var ErrServices = errors.New("services are unhealthy")

// unwell is an ErrServices with the units and the reasons.
type unwell struct{ faults []string }

func (e unwell) Error() string        { return strings.Join(e.faults, ", ") }
func (e unwell) Is(target error) bool { return target == ErrServices }

const (
	// patience is the time for which Services waits for starting services: less than
	// the Limit of a check.
	patience = 90 * time.Second
	// steady is the time for which all services must stay active.
	steady = 5 * time.Second
	pause  = time.Second
)

// CurrentUnits returns the active services and the failed units of the running system.
// Without systemd there are none.
func CurrentUnits(ctx context.Context) (be.Units, error) {
	if _, err := os.Stat("/run/systemd/system"); errors.Is(err, fs.ErrNotExist) {
		return be.Units{}, nil // sd_booted(3)
	}
	units, err := look(ctx, systemd.Systemctl, nil)
	return current(units), err
}

// Services checks that the services that were active before are active now, if the boot
// of the running system is meant to start them, and that no further unit has failed.
// Otherwise it returns an ErrServices with the units. It waits for starting services.
func Services(ctx context.Context, before be.Units) error {
	w := watcher{
		look:  func(ctx context.Context) ([]unit, error) { return look(ctx, systemd.Systemctl, before.Active) },
		now:   time.Now,
		sleep: sleep,
	}
	return w.watch(ctx, before)
}

// command runs systemctl and returns its output.
type command func(ctx context.Context, args ...string) (string, error)

// look returns the loaded units, and the units with the given names: systemd does not
// load a unit without references.
func look(ctx context.Context, systemctl command, names []string) ([]unit, error) {
	args := append([]string{"show", "--property=" + properties, "--",
		"*.service", "*.socket", "*.mount", "*.swap"}, names...)
	shown, err := systemctl(ctx, args...)
	if err != nil {
		return nil, fmt.Errorf("cannot ask systemd for its units: %w", err)
	}
	return parse(shown), nil
}

// watcher looks at units until it can judge them.
type watcher struct {
	look  func(context.Context) ([]unit, error)
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
}

func (w watcher) watch(ctx context.Context, before be.Units) error {
	began := w.now()
	settled := began
	var last verdict
	var restless []string // the units that changed last
	for {
		units, err := w.look(ctx)
		if err != nil {
			return err
		}
		v := compare(before, units)
		now := w.now()
		moved := v.moved(last)
		if len(v.pending) > 0 || len(moved) > 0 {
			settled, restless = now, slices.Concat(v.pending, moved)
		}
		last = v
		if now.Sub(settled) >= steady {
			break
		}
		if now.Sub(began) >= patience {
			for _, name := range restless {
				last.faults = append(last.faults, name+" does not stay active (it was active before)")
			}
			break
		}
		if err := w.sleep(ctx, pause); err != nil {
			return err
		}
	}
	if len(last.faults) > 0 {
		return unwell{last.faults}
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
