package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/rootconf"
)

func newRename(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "rename NAME NEW",
		Short: "Rename a boot environment",
		Args:  takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := be.CheckName(args[1]); err != nil {
				return usageError{fmt.Errorf("cannot rename %s: %w", args[0], err)}
			}
			return app.change(cmd.Context(), func(reg *be.Registry) error {
				e, err := reg.Get(args[0])
				if err != nil {
					return err
				}
				switch {
				case e.Running:
					// Until the next boot, the kernel command line and the fstab
					// contain the old name.
					return fmt.Errorf("cannot rename %s: %w: it is the running one", e.Name, be.ErrProtected)
				case e.Next && !e.Original():
					return fmt.Errorf("cannot rename %s: %w: the next boot takes it", e.Name, be.ErrProtected)
				case e.Default && !e.Original():
					return fmt.Errorf("cannot rename %s: %w: it is the default", e.Name, be.ErrProtected)
				case app.inUse(reg)(e):
					return fmt.Errorf("cannot rename %s: %w: it is mounted or in use", e.Name, be.ErrProtected)
				}
				if app.options.DryRun {
					if err := reg.CheckFree(args[1]); err != nil {
						return fmt.Errorf("cannot rename %s: %w", e.Name, err)
					}
					app.notice().Say("Would rename %s to %s.", e.Name, args[1])
					return nil
				}
				if err := reg.Rename(cmd.Context(), e, args[1]); err != nil {
					return err
				}
				// If this is interrupted, the entry that activate writes still finds
				// its root, because the rootflags contain the new name.
				place := be.EnvDir + "/" + args[1]
				return rootconf.SetRoot(reg.Store(), place, place, e.Record.Parts)
			})
		},
	}
}
