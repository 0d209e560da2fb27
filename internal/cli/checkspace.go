package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/apthook"
	"github.com/apt-be/apt-be/internal/diskspace"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// newCheckSpace returns a verb that apt runs in a sandbox as a DPkg::Pre-Install-Pkgs
// hook (inside/speed.go). If it fails, apt unpacks nothing.
func newCheckSpace(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "check-space",
		Short:  "Stop apt if the packages do not fit on the disk",
		Hidden: true, // apt calls it
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Lstat(sandbox.Marker); err != nil {
				return errors.New("cannot check the disk space for an upgrade: not inside a boot environment's sandbox")
			}
			err := app.checkSpace()
			if err != nil && !errors.Is(err, diskspace.ErrNoSpace) && !errors.Is(err, parts.ErrOutside) {
				app.Log.WithError(err).Warn("cannot determine whether the upgrade fits on the disk")
				return nil
			}
			return err
		},
	}
}

// checkSpace returns diskspace.ErrNoSpace if apt's packages do not fit, and
// parts.ErrOutside if they have files that are in no boot environment.
func (app *App) checkSpace() error {
	in, err := hookInput()
	if err != nil {
		return err
	}
	if err := checkOutside(in); err != nil {
		return veto(err)
	}
	if len(in.Archives) == 0 { // packages are only removed or configured
		return notePass()
	}
	need, err := diskspace.ForUpgrade("/", in.Archives)
	if err != nil {
		return err
	}
	free, err := app.FreeRoom("/")
	if err != nil {
		return err
	}
	if err = need.Check(free); err == nil {
		return notePass()
	}
	return veto(err)
}

// veto records for the supervisor why apt is stopped.
func veto(err error) error {
	err = fmt.Errorf("cannot upgrade: %w", err)
	return errors.Join(err, os.WriteFile(inside.VetoNote, []byte(err.Error()), 0o644))
}

// checkOutside searches for files of the packages on mounts of the running system. If
// it cannot determine that, it does not stop apt.
func checkOutside(in apthook.Input) error {
	text, err := os.ReadFile(inside.OutsideNote)
	if err != nil {
		return nil
	}
	var mounts []parts.Mount
	if err := json.Unmarshal(text, &mounts); err != nil {
		return err
	}
	return parts.CheckOutside("/", mounts, in.Changed())
}

func notePass() error { return os.WriteFile(inside.PassNote, nil, 0o644) }
