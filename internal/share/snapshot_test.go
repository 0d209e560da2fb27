package share_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/share"
)

// spoiled is the mail after a new version has damaged it.
var spoiled = map[string]string{"al": "spoiled", "same": "spoiled", "lists/debian": "two"}

// spoil makes /var/mail a share, switches to the other environment, and returns with
// damaged mail.
func (w *fixture) spoil() {
	w.Helper()
	check(w.T, w.add())
	w.keep()
	w.write("@share/mail/al", "spoiled")
}

// keep makes the share snapshots of a departure to the other environment.
func (w *fixture) keep() {
	w.Helper()
	check(w.T, w.locked(func() error {
		other, err := w.reg.Get("other")
		if err != nil {
			return err
		}
		return w.shares.Snapshot(ctx, other)
	}))
}

func (w *fixture) restore(inPlace bool) error {
	return w.locked(func() error {
		plan, err := w.shares.PlanRestore(share.RestoreOptions{NameOrPath: "mail", From: "other", InPlace: inPlace})
		if err != nil {
			return err
		}
		return w.shares.Restore(ctx, plan)
	})
}

func (w *fixture) wantFiles(dir string, want map[string]string) {
	w.Helper()
	if got := w.files(dir); !maps.Equal(got, want) {
		w.Errorf("in %s is %q, want %q", dir, got, want)
	}
}

func (w *fixture) checkBeside(since map[string]string) {
	w.Helper()
	w.isShare(both(spoiled, since))
	entries, err := os.ReadDir(w.store.Path("@rootfs/var"))
	check(w.T, err)
	switch {
	case len(entries) == 2 && entries[1].Name() == "mail.other":
		w.wantFiles("@rootfs/var/mail.other", mail)
	case len(entries) != 1:
		w.Errorf("there are %v", entries)
	}
}

func (w *fixture) checkInPlace(since map[string]string) {
	w.Helper()
	names := w.names()
	if len(names) == 1 {
		w.isShare(both(spoiled, since))
		return
	}
	if len(names) != 2 || w.machine.mounts["/var/mail"] != "@share/mail" || w.frozen() {
		w.Errorf("there are %q, mounted %q", names, w.machine.mounts)
	}
	w.wantFiles("@share/mail", both(mail, since))
	w.wantFiles("@share/"+names[1], spoiled)
	w.wantFiles("@rootfs/var/mail", map[string]string{})
}

func TestSnapshotIsKeptOncePerEnvironment(t *testing.T) {
	w := newFixture(t)
	check(t, w.add())
	for range 2 {
		w.keep()
	}
	all, err := w.store.List(be.ShareSnapshotDir)
	check(t, err)
	if len(all) != 1 || !all[0].ReadOnly {
		t.Errorf("there are %+v, want one", all)
	}
	shares, err := w.shares.List()
	check(t, err)
	if len(shares) != 1 || len(shares[0].Snapshots) != 1 || shares[0].Snapshots[0].Env.Name != "other" || shares[0].Snapshots[0].Subvolume.Path != all[0].Path {
		t.Errorf("the shares are %+v", shares)
	}
	w.write("@share/mail/late", "x")
	w.wantFiles(all[0].Path, mail)

	// No environment mounts it there: there is nothing to keep or to restore.
	w.write("@be/other/etc/fstab", fstabText)
	w.keep()
	if all, err := w.store.List(be.ShareSnapshotDir); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, %v", all, err)
	}
	var refusal *share.Refusal
	if err := w.restore(false); !errors.As(err, &refusal) {
		t.Errorf("restore = %v", err)
	}
}

func TestRestore(t *testing.T) {
	w := newFixture(t)
	w.spoil()
	check(t, w.restore(false))
	w.wantFiles("@rootfs/var/mail.other", mail)
	w.isShare(spoiled)
	var refusal *share.Refusal
	if err := w.restore(false); !errors.As(err, &refusal) {
		t.Errorf("a second time it ends with %v", err)
	}
	check(t, w.restore(true))
	check(t, w.restore(true))
	w.wantFiles("@share/mail", mail)
	if names := w.names(); len(names) != 3 {
		t.Errorf("there are %q", names)
	}
	w.recover()
	w.noJournals()
}

func TestInterrupted(t *testing.T) {
	w := newFixture(t)
	interrupted, cancel := context.WithCancel(ctx)
	cancel()
	check(t, w.locked(func() error {
		plan, err := w.shares.PlanAdd(share.AddOptions{Path: "/var/mail", Name: "mail"})
		if err != nil {
			return err
		}
		if err := w.shares.Add(interrupted, plan); !errors.Is(err, context.Canceled) {
			t.Errorf("Add = %v", err)
		}
		return nil
	}))
	w.isDirectory(mail)
	w.noJournals()
	if names := w.names(); len(names) > 0 {
		t.Errorf("there are %q", names)
	}
}
