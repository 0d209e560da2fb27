package cli

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

func TestStatus(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("cannot do it: %w", err) }
	for _, tt := range []struct {
		err  error
		want int
		hint bool
	}{
		{nil, 0, false},
		{errors.New("x"), 1, false},
		{wrap(be.ErrNotFound), 1, true},
		{wrap(be.ErrExists), 1, false},
		{wrap(boot.ErrNoSpace), 1, true},
		{wrap(be.ErrNewerSchema), 1, true},
		{usageError{errors.New("x")}, 2, true},
		{wrap(usageError{be.ErrBadName}), 2, true},
		{partly{wrap(be.ErrProtected)}, 3, false},
		{wrap(store.ErrUnsupported), 10, true},
		{wrap(be.ErrNotSetUp), 10, true},
		{wrap(&txn.HeldError{Holder: "process 1"}), 11, true},
		{wrap(&dpkglock.BusyError{}), 11, false},
		{wrap(be.ErrProtected), 12, false},
		{wrap(&share.Refusal{Reason: "x"}), 12, false},
		{wrap(&share.Refusal{Reason: "x", Hint: "y"}), 12, true},
		{wrap(share.ErrNotFound), 1, true},
		{wrap(drift.ErrRefused), 12, true},
		{wrap(drift.ErrPackages), 12, true},
		{wrap(diskspace.ErrNoSpace), 12, true},
		{wrap(host.ErrReadOnly), 1, true},
		{wrap(&frontend.Obstacle{State: frontend.NotBtrfs}), 1, true},
		{wrap(&aptconf.SettingError{Name: "Apt-Be::Guard"}), 1, true},
		{wrap(aptconf.ErrApt), 1, true},
		{wrap(context.Canceled), 130, false},
	} {
		exit := Status(tt.err)
		if exit.Code != tt.want || exit.Signal != 0 {
			t.Errorf("Status(%v) = %+v, want %d", tt.err, exit, tt.want)
		}
		if hint := Hint(tt.err); (hint != "") != tt.hint {
			t.Errorf("Hint(%v) = %q, want one: %v", tt.err, hint, tt.hint)
		}
		if Silent(tt.err) {
			t.Errorf("Silent(%v) = true", tt.err)
		}
	}
	killed := ended{inside.Exit{Code: 130, Signal: syscall.SIGINT}}
	if got := Status(wrap(killed)); got != killed.Exit || !Silent(killed) {
		t.Errorf("Status of a command that was killed = %+v", got)
	}
}
