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
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/syscalls"
	"github.com/apt-be/apt-be/internal/txn"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// Exit statuses. docs/json.md and apt-be --help describe them.
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

// errFellBack reports a fallback that is not acknowledged. status has already printed
// it.
var errFellBack = errors.New("the machine fell back from a boot environment")

// usageError is an invalid command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// partly reports that only some of several operations were done.
type partly struct{ error }

func (e partly) Unwrap() error { return e.error }

// ended is the exit of a command in a sandbox, which has printed its own messages.
type ended struct{ inside.Exit }

func (e ended) Error() string { return fmt.Sprintf("exit status %d", e.Code) }

// Status returns the exit status for an error.
func Status(err error) inside.Exit {
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
	return inside.Exit{Code: code}
}

// Hint returns the remedy for an error, or "".
func Hint(err error) string {
	var held *txn.HeldError
	var no *share.Refusal
	var handMade *upgrade.ChangedByHandError
	var obstacle *frontend.Obstacle
	var alias *frontend.AliasError
	var setting *aptconf.SettingError
	var unreadable *be.UnreadableError
	var nested *be.NestedError
	var silent *upgrade.UnresponsiveError
	switch {
	case errors.As(err, &usageError{}):
		return "apt-be --help lists the commands and options"
	case errors.As(err, &unreadable):
		return unreadable.Remedy()
	case errors.As(err, &held):
		return "try again when the other command has finished"
	case errors.As(err, &handMade):
		return fmt.Sprintf("to discard its changes, run apt-be destroy %s; to keep both, run apt-be keep %s", handMade.Name, handMade.Name)
	case errors.As(err, &nested):
		return nestedHint(nested.Name)
	case errors.As(err, &silent):
		return silent.Hint()
	case errors.Is(err, store.ErrSwapFile):
		return "deactivate it with swapoff meanwhile, or move it to a subvolume of its own, which is not copied: btrfs subvolume create /swap && btrfs filesystem mkswapfile --size 2g /swap/swapfile, and change /etc/fstab"
	case errors.Is(err, syscalls.ErrNetworkOpen):
		return `to allow network access, set Apt-Be::Sandbox::Network "full" in apt.conf`
	case errors.Is(err, fs.ErrPermission):
		return "only root can manage boot environments: use sudo"
	case errors.Is(err, drift.ErrRefused):
		return "apt-be drift lists all such files. Write a rule for each to " + catchup.Synclist + ": OVERWRITE keeps the running system's version, IGNORE the boot environment's, APPEND both. Or destroy the boot environment with apt-be destroy, and repeat the upgrade"
	case errors.Is(err, parts.ErrOutside):
		return parts.OutsideHint
	case errors.Is(err, drift.ErrPackages):
		return "to make a boot environment with these changes, repeat the upgrade; to repeat the package changes in this one, use apt-be activate --replay-packages"
	case errors.As(err, &no):
		return no.Hint
	case errors.Is(err, share.ErrNotFound):
		return "apt-be share list shows the shares"
	case errors.Is(err, be.ErrNotFound):
		return "apt-be list shows the boot environments"
	case errors.Is(err, be.ErrNewerSchema):
		return "a newer apt-be, in another boot environment, wrote this. Upgrade apt-be here, too"
	case errors.Is(err, be.ErrNotSetUp):
		return "to prepare the boot menu, run apt-be init, which first shows its steps"
	case errors.As(err, &alias):
		return alias.Hint()
	case errors.As(err, &obstacle):
		return obstacle.Hint()
	case errors.As(err, &setting):
		where := ""
		if setting.Where == "" {
			where = "; to find the setting, run grep -r -i apt-be /etc/apt/apt.conf*"
		}
		return fmt.Sprintf("apt-config dump %s shows the settings that apt reads%s. Commands that upgrade nothing still work", setting.Name, where)
	case errors.Is(err, aptconf.ErrApt):
		return "apt cannot read its configuration, either. Correct it; dpkg works without it"
	case errors.Is(err, host.ErrReadOnly):
		return "to make it writable, run mount -o remount,rw /. If an error made it read-only, dmesg shows the error"
	case errors.Is(err, diskspace.ErrNoSpace):
		return diskspace.Hint
	case errors.Is(err, boot.ErrNoSpace), errors.Is(err, syscall.ENOSPC):
		return "to free space, delete a boot environment with apt-be destroy, which also deletes its kernels"
	case errors.Is(err, store.ErrUnsupported):
		return "boot environments need the root file system to be a btrfs subvolume"
	}
	return ""
}

// Silent reports whether the user has already seen an error.
func Silent(err error) bool { return errors.As(err, &ended{}) || errors.Is(err, errFellBack) }
