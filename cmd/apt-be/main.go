// Command apt-be manages boot environments. Under the name of a package frontend, such
// as apt-get, it is the wrapper that replaces that frontend.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/cli"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/rebootrequired"
	"github.com/apt-be/apt-be/internal/report"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/share"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/btrfs"
	"github.com/apt-be/apt-be/internal/ui"
	"github.com/apt-be/apt-be/internal/upgrade"
)

// version is set when a release is built.
var version = "development"

// lib is the directory of apt-be's own files.
const lib = "/usr/lib/apt-be"

func main() {
	if os.Args[0] == sandbox.Name {
		sandbox.Main()
	}
	if f, ok := frontend.FrontendOf(os.Args[0]); ok {
		wrap(f)
	}
	command()
}

// wrap runs a command line of the frontend f.
func wrap(f frontend.Frontend) {
	notice := ui.NewNotice(os.Stderr, false).Narrow()
	log := newLog(notice)
	w := &upgrade.Wrapper{
		Facts: host.Facts(),
		Open:  func() (*upgrade.Upgrader, error) { return openUpgrader(notice, log) },
		Log:   log,
		Warn: upgrade.OnceADay("/run/apt-be", func(why error) {
			notice.Warn("%v", why)
			hint(notice, why)
		}),
	}
	exit, err := w.Run(context.Background(), f, os.Args)
	if err != nil {
		notice.Error(err)
		hint(notice, err)
	}
	exit.Die()
}

// openUpgrader returns the upgrader for the environments of the running system.
func openUpgrader(notice *ui.Notice, log *logrus.Logger) (*upgrade.Upgrader, error) {
	st, err := openStore("/")
	if err != nil {
		return nil, err
	}
	reg := be.NewRegistry(st, "/", rootconf.Identify)
	reg.Mounted = func(subvolume string) ([]string, error) { return mounts.Of(st.Device(), subvolume) }
	share.New(reg, share.RunningHost{Root: "/", Device: st.Device()}) // recovery settles interrupted operations on shares, too, before a snapshot
	launcher := &inside.Launcher{Store: st, Lib: lib, Log: log}
	u := &upgrade.Upgrader{
		Root:     "/",
		Registry: reg,
		Launcher: launcher,
		Reporter: &report.Reporter{Notice: notice, Log: log, System: host.System{}, Flag: rebootrequired.Flag{Dir: "/run"}, Lib: lib},
		Catchup:  catchup.ForUpgrade(reg, launcher, notice, log),
		Notice:   notice,
		Log:      log,
	}
	act, err := host.Attach(reg, "/")
	if err == nil {
		u.Boot = host.Boot{Activator: act}
	} else if !errors.Is(err, be.ErrNotSetUp) {
		reg.LoaderErr = err
		log.WithError(err).Warn("the next boot will not take the result of an upgrade")
	}
	return u, nil
}

// newLog returns the log of diagnostics, as $APT_BE_DEBUG asks for it.
func newLog(notice *ui.Notice) *logrus.Logger {
	log := cli.NewLog(os.Stderr)
	if err := cli.ApplyDebugVariable(log, os.Getenv(cli.DebugVariable)); err != nil {
		notice.Warn("%v", err)
	}
	return log
}

// hint prints the remedy for an error, if one is known.
func hint(notice *ui.Notice, err error) {
	if text := cli.Hint(err); text != "" {
		notice.Hint("%s", text)
	}
}

// command runs apt-be's own command line.
func command() {
	app := &cli.App{
		Stdout:    os.Stdout,
		Stderr:    os.Stderr,
		Log:       newLog(ui.NewNotice(os.Stderr, false)),
		Version:   version,
		Lib:       lib,
		OpenStore: openStore,
		FreeRoom:  btrfs.Free,
		Mounted:   catchup.MountPoints,
		LockDpkg:  cli.LockDpkg,
		Patience:  cli.Patience,
		Attach:    host.Attach,
		Arming:    host.Arming,
		Booted:    host.Booted,
		Live:      true,
	}
	cli.Main(context.Background(), app, os.Args[1:]).Die()
}

func openStore(dir string) (store.Store, error) {
	st, err := btrfs.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", dir, err)
	}
	return st, nil
}
