package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

func noArgs(cmd *cobra.Command, args []string) error { return takes(0, 0)(cmd, args) }

// takes checks the number of arguments. If max is negative, there is no maximum.
func takes(min, max int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < min || max >= 0 && len(args) > max {
			return usageError{fmt.Errorf("wrong arguments; usage: %q", cmd.UseLine())}
		}
		return nil
	}
}
