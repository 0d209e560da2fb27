package cli

import (
	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/syscalls"
)

// newCloseNetwork is what dpkg calls in a sandbox before it begins with anything. An
// error keeps it from that.
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
