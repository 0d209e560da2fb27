package cli

import (
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/syscalls"
)

// newCloseNetwork returns a verb that dpkg runs in a sandbox before everything else. If
// it fails, dpkg stops.
func newCloseNetwork(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "close-network",
		Short:  "Close the machine's network for the processes in the sandbox",
		Hidden: true,
		Args:   noArgs,
		RunE: func(*cobra.Command, []string) error {
			app.hook = true
			return syscalls.CloseNetwork()
		},
	}
}
