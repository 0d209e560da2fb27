package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/dpkglock"
	"github.com/apt-be/apt-be/internal/drift"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/syscalls"
	"github.com/apt-be/apt-be/internal/txn"
)

// Exit statuses. docs/json.md and apt-be --help tell of them.
const (
	exitError       = 1
	exitUsage       = 2
	exitPartly      = 3
	exitNotSetUp    = 10
	exitLocked      = 11
	exitRefused     = 12
	exitFellBack    = 14
	exitInterrupted = 130
)

// errFellBack says that the machine came back from an environment, and that
// nobody has acknowledged it; the status that it ends has said so.
var errFellBack = errors.New("a boot environment failed back")

// usageError is a command line that makes no sense.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// partly is returned when some of several things were done.
type partly struct{ error }

func (e partly) Unwrap() error { return e.error }

// ended is how a command that ran in a sandbox ended: it has said all.
type ended struct{ redirect.Exit }

func (e ended) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// Status is the exit status that stands for an error.
func Status(err error) redirect.Exit {
	var (
		usage usageError
		part  partly
		end   ended
		held  *txn.HeldError
		busy  *dpkglock.BusyError
		no    *share.Refusal
	)
	code := exitError
	switch {
	case err == nil:
		code = 0
	case errors.As(err, &end):
		return end.Exit
	case errors.As(err, &usage):
		code = exitUsage
	case errors.As(err, &part):
		code = exitPartly
	case errors.As(err, &held), errors.As(err, &busy):
		code = exitLocked
	case errors.As(err, &no), errors.Is(err, be.ErrProtected), errors.Is(err, diskspace.ErrNoSpace), errors.Is(err, parts.ErrOutside), errors.Is(err, drift.ErrRefused), errors.Is(err, drift.ErrPackages), errors.Is(err, catchup.ErrReplay), errors.Is(err, pkgdb.ErrDowngraded):
		code = exitRefused
	case errors.Is(err, store.ErrUnsupported), errors.Is(err, be.ErrNotSetUp):
		code = exitNotSetUp
	case errors.Is(err, errFellBack):
		code = exitFellBack
	case errors.Is(err, context.Canceled):
		code = exitInterrupted
	}
	return redirect.Exit{Code: code}
}

// Hint is what a user can do about an error, or "".
func Hint(err error) string {
	var held *txn.HeldError
	var no *share.Refusal
	var handMade *redirect.ChangedByHandError
	var obstacle *redirect.Obstacle
	var alias *redirect.AliasError
	var setting *aptconf.SettingError
	var unreadable *be.UnreadableError
	var nested *be.NestedError
	var silent *redirect.UnresponsiveError
	switch {
	case errors.As(err, &usageError{}):
		return "apt-be --help lists the verbs and options"
	case errors.As(err, &unreadable):
		return unreadable.Remedy()
	case errors.As(err, &held):
		return "try again when it is done"
	case errors.As(err, &handMade):
		return fmt.Sprintf("apt-be destroy %s gives it up, apt-be keep %s keeps both", handMade.Name, handMade.Name)
	case errors.As(err, &nested):
		return nestedHint(nested.Name)
	case errors.As(err, &silent):
		return silent.Hint()
	case errors.Is(err, store.ErrSwapFile):
		return "swapoff it for as long as that takes, or give it a subvolume of its own, which is left out: btrfs subvolume create /swap && btrfs filesystem mkswapfile --size 2g /swap/swapfile, and name that in /etc/fstab instead"
	case errors.Is(err, syscalls.ErrNetworkOpen):
		return `Apt-Be::Sandbox::Network "full" in apt.conf lets them have it`
	case errors.Is(err, fs.ErrPermission):
		return "boot environments are root's: try it with sudo"
	case errors.Is(err, drift.ErrRefused):
		return "apt-be drift shows all such files; " + catchup.Synclist + " says for each whose is to be kept: OVERWRITE the running system's, IGNORE the environment's, APPEND both; or apt-be destroy gives the environment up, and the same upgrade makes one that has all"
	case errors.Is(err, parts.ErrOutside):
		return parts.OutsideHint
	case errors.Is(err, drift.ErrPackages):
		return "the same upgrade once more makes a boot environment that has them; apt-be activate --replay-packages does there what was done here"
	case errors.As(err, &no):
		return no.Hint
	case errors.Is(err, share.ErrNotFound):
		return "apt-be share list shows the shares that there are"
	case errors.Is(err, be.ErrNotFound):
		return "apt-be list shows the boot environments that there are"
	case errors.Is(err, be.ErrNewerSchema):
		return "a newer apt-be, in another boot environment, wrote this. Upgrade apt-be here, too"
	case errors.Is(err, be.ErrNotSetUp):
		return "apt-be init prepares the boot menu, and shows before what it does"
	case errors.As(err, &alias):
		return alias.Hint()
	case errors.As(err, &obstacle):
		return obstacle.Hint()
	case errors.As(err, &setting):
		where := ""
		if setting.Where == "" {
			where = ", grep -r -i apt-be /etc/apt/apt.conf* where that is"
		}
		return fmt.Sprintf("apt-config dump %s shows what apt has of it%s; what upgrades nothing still works", setting.Name, where)
	case errors.Is(err, aptconf.ErrApt):
		return "apt itself can't read it either, before that is mended; dpkg needs none of it"
	case errors.Is(err, redirect.ErrReadOnly):
		return "mount -o remount,rw / makes it writable, unless a fault has made it read-only: dmesg tells of that"
	case errors.Is(err, diskspace.ErrNoSpace):
		return diskspace.Hint
	case errors.Is(err, boot.ErrNoSpace), errors.Is(err, syscall.ENOSPC):
		return "apt-be destroy makes room: what only that boot environment has goes with it, kernels too"
	case errors.Is(err, store.ErrUnsupported):
		return "boot environments need the root file system to be a btrfs subvolume"
	}
	return ""
}

// Silent says whether an error has been told to the user already.
func Silent(err error) bool { return errors.As(err, &ended{}) || errors.Is(err, errFellBack) }
