package be_test

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/storetest"
)

// operation changes the registry of a fixture that has an environment called old.
type operation struct {
	name string
	run  func(w *fixture, reg *be.Registry) error
	// after a fault, the list of environments is one of before and after
	before, after []string
	forward       bool // the next command completes the operation instead of undoing it
	renews        bool // old is replaced by an environment with the same name
}

var operations = []operation{
	{
		name: "discard",
		run: func(w *fixture, reg *be.Registry) error {
			build, _, err := reg.Begin(ctx, w.options("new"))
			if err != nil {
				return err
			}
			return build.Discard(ctx)
		},
		before: []string{"old", "rootfs"}, after: []string{"old", "rootfs"},
	},
	{
		name: "create",
		run: func(w *fixture, reg *be.Registry) error {
			build, _, err := reg.Begin(ctx, w.options("new"))
			if err != nil {
				return err
			}
			w.write(build.Path+"/title", "Debian 13")
			_, err = build.Commit(ctx, be.Ready, func(r *be.Record) { r.Title = "Debian 13" })
			return err
		},
		before: []string{"old", "rootfs"}, after: []string{"new", "old", "rootfs"},
	},
	{
		name: "destroy",
		run: func(w *fixture, reg *be.Registry) error {
			release, err := reg.Lock(ctx)
			if err != nil {
				return err
			}
			defer release()
			e, err := reg.Get("old")
			if err != nil {
				return err
			}
			return reg.Destroy(ctx, e)
		},
		before: []string{"old", "rootfs"}, after: []string{"rootfs"}, forward: true,
	},
	{
		name: "rename",
		run: func(w *fixture, reg *be.Registry) error {
			release, err := reg.Lock(ctx)
			if err != nil {
				return err
			}
			defer release()
			e, err := reg.Get("old")
			if err != nil {
				return err
			}
			return reg.Rename(ctx, e, "renamed")
		},
		before: []string{"old", "rootfs"}, after: []string{"renamed", "rootfs"},
	},
	{
		name:   "renew",
		run:    renewOld,
		before: []string{"old", "rootfs"}, after: []string{"old", "rootfs"}, renews: true,
	},
	{
		name:   "part",
		run:    splitOld,
		before: []string{"old", "rootfs"}, after: []string{"new", "old", "rootfs"},
	},
}

// splitOld makes a separate environment from a copy that was started to renew old.
func splitOld(w *fixture, reg *be.Registry) error {
	build, err := beginRenewal(w, reg)
	if err != nil {
		return err
	}
	if err := build.Split(ctx, "new"); err != nil {
		return errors.Join(err, build.Discard(ctx))
	}
	_, err = build.Commit(ctx, be.Failed, func(r *be.Record) { r.Title = "Debian 13" })
	return err
}

func renewOld(w *fixture, reg *be.Registry) error {
	build, err := beginRenewal(w, reg)
	if err != nil {
		return err
	}
	e, err := reg.Get("old")
	if err != nil {
		return err
	}
	_, err = build.Replace(ctx, e, func(*be.Record) {})
	return err
}

// beginRenewal starts to renew old, and changes the copy.
func beginRenewal(w *fixture, reg *be.Registry) (*be.Build, error) {
	e, err := reg.Get("old")
	if err != nil {
		return nil, err
	}
	running, err := reg.Running()
	if err != nil {
		return nil, err
	}
	build, _, err := reg.Renew(ctx, e, running, nil)
	if err != nil {
		return nil, err
	}
	w.write(build.Path+"/title", "Debian 13")
	return build, nil
}

// TestFaultsAtEachCall injects a fault at each call to the store. Afterwards an
// environment is complete or does not exist.
func TestFaultsAtEachCall(t *testing.T) {
	for _, op := range operations {
		for _, fault := range faults {
			t.Run(op.name+"/"+string(fault), func(t *testing.T) {
				n := 1
				for injectFault(t, op, fault, n) {
					n++
				}
				if n < 3 {
					t.Errorf("it changed the store %d times only: is the fault injected at all?", n-1)
				}
			})
		}
	}
}

// injectFault reports whether the operation reached the nth call.
func injectFault(t *testing.T, op operation, fault fault, n int) (reached bool) {
	t.Helper()
	t.Run(fmt.Sprint(n), func(t *testing.T) {
		w := newFixture(t)
		check(t, w.store.Create("@rootfs/var/lib/machines"))
		old := w.create("old")
		w.write(be.ScratchDir(old.Subvolume.UUID)+"/0/file", "x")

		st := &faulty{Store: w.store, at: n, fault: fault}
		crashed, err := storetest.Survive(t, w.dir, errFault, func() error { return op.run(w, w.open(st)) })
		reached = st.calls >= n
		if err != nil && !errors.Is(err, errFault) {
			t.Errorf("it failed by %v", err)
		}
		if err == nil && !crashed && !reached {
			w.checkList(op.after...)
			return
		}
		if err != nil && !crashed && !op.forward {
			// After an error, the state is unchanged, except for garbage if its removal
			// was the call that failed.
			if got := w.list(); !slices.Equal(got, op.before) {
				t.Errorf("after the error there are %q, want %q", got, op.before)
			}
		}
		w.recover()
		got := w.list()
		if !slices.Equal(got, op.before) && !slices.Equal(got, op.after) {
			t.Errorf("there are %q, want %q or %q", got, op.before, op.after)
		}
		w.checkWhole()
		if op.renews {
			w.checkRenewed()
		} else {
			w.checkContents()
		}
		if settled := w.recover(); settled != 0 {
			t.Errorf("a second Recover settled %d transactions", settled)
		}
		// The same operation succeeds afterwards.
		if slices.Equal(got, op.before) {
			check(t, op.run(w, w.reg))
			w.checkList(op.after...)
			w.checkWhole()
		}
	})
	return reached
}

// checkContents checks the files of all environments.
func (w *fixture) checkContents() {
	w.Helper()
	envs, err := w.reg.List()
	check(w.T, err)
	for _, e := range envs {
		want := "Debian 12"
		if e.Name == "new" {
			want = "Debian 13"
			if e.Record.Title != want {
				w.Errorf("the record of new is not what Commit made of it: %+v", e.Record)
			}
		}
		title, err := os.ReadFile(w.store.Path(e.Subvolume.Path + "/title"))
		if err != nil || string(title) != want {
			w.Errorf("%s holds %q, %v, want %q", e.Name, title, err, want)
		}
	}
}

// checkRenewed checks that old is complete, in its old or its new version.
func (w *fixture) checkRenewed() {
	w.Helper()
	e := w.get("old")
	title, err := os.ReadFile(w.store.Path(e.Subvolume.Path + "/title"))
	if err != nil || string(title) != "Debian 12" && string(title) != "Debian 13" {
		w.Errorf("old holds %q, %v", title, err)
	}
	if _, err := os.Lstat(w.store.Path(be.ScratchDir(e.Subvolume.UUID) + "/0/file")); err != nil {
		w.Error(err)
	}
	if _, err := w.store.Get(e.Subvolume.Path + "/var/lib/machines"); err != nil {
		w.Error(err)
	}
}
