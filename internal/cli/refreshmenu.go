package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/setup"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/store"
)

func newRefreshMenu(app *App) *cobra.Command {
	var parameters string
	cmd := &cobra.Command{
		Use:    "refresh-menu",
		Short:  "Update the boot menu; update-grub and kernel hooks run it",
		Hidden: true,
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Lstat(host.InsideMarker); !errors.Is(err, fs.ErrNotExist) {
				return err // a sandbox has no menu
			}
			if os.Getenv(setup.QuietVar) != "" {
				return nil // apt-be init runs the hooks that run this
			}
			if app.would("update the boot menu") {
				return nil
			}
			err := app.record(cmd.Context(), func(reg *be.Registry) error {
				return app.refreshMenu(reg, parameters, cmd.Flags().Changed("parameters"))
			})
			if errors.Is(err, store.ErrUnsupported) || errors.Is(err, be.ErrNotSetUp) {
				return ended{inside.Exit{Code: exitNotSetUp}} // the hooks run this on every machine
			}
			return err
		},
	}
	cmd.Flags().StringVar(&parameters, "parameters", "", "the kernel parameters of the running boot environment from now on")
	return cmd
}

func (app *App) refreshMenu(reg *be.Registry, parameters string, given bool) error {
	if _, err := app.activator(); err != nil {
		return fmt.Errorf("cannot write the boot menu: %w", err)
	}
	if given {
		e, err := reg.Running()
		if err != nil {
			return err
		}
		parameters = activation.WithoutTrial(parameters)
		if parameters != e.Record.Parameters {
			if err := reg.Change(e, func(r *be.Record) { r.Parameters = parameters }); err != nil {
				return err
			}
		}
	}
	return app.act.Refresh()
}
