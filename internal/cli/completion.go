package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/rootconf"
	"github.com/apt-be/apt-be/internal/share"
)

func newCompletion(*App) *cobra.Command {
	shells := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print a shell's completion script",
		Long: `Print the script that makes a shell complete verbs, options, and the names of boot
environments and shares. To use it in the present shell:

  bash  source <(apt-be completion bash)
  zsh   source <(apt-be completion zsh)
  fish  apt-be completion fish | source

The names of boot environments are completed only for root.`,
		Args:      takes(1, 1),
		ValidArgs: shells,
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return usageError{fmt.Errorf("unknown shell %q: bash, zsh and fish have completion", args[0])}
		},
	}
}

// complete gives the verbs the completion of their arguments.
func (app *App) complete(root *cobra.Command) {
	for verb, most := range map[string]int{
		"destroy": -1, "keep": -1, "unkeep": -1, "diff": 2, "rename": 1, "mount": 1, "unmount": 1, "run": 1, "shell": 1,
		"activate": 1, "plan": 1, "drift": 1, "sync": 1, "dedupe": 1, "log": 1,
	} {
		if cmd, _, err := root.Find([]string{verb}); err == nil {
			cmd.ValidArgsFunction = completeUpTo(most, app.environmentNames)
		}
	}
	for _, verb := range []string{"remove", "restore"} {
		if cmd, _, err := root.Find([]string{"share", verb}); err == nil {
			cmd.ValidArgsFunction = completeUpTo(1, app.shareNames)
		}
	}
	for _, verb := range []string{"create", "prune", "list", "status", "init", "doctor", "health", "bless", "deactivate", "rollback"} {
		if cmd, _, err := root.Find([]string{verb}); err == nil && cmd.ValidArgsFunction == nil {
			cmd.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// completeUpTo completes up to most arguments by different names; without a limit if
// most is negative.
func completeUpTo(most int, names func() []string) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if most >= 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		used := map[string]bool{}
		for _, arg := range args {
			used[arg] = true
		}
		var free []string
		for _, name := range names() {
			if !used[name] {
				free = append(free, name)
			}
		}
		return free, cobra.ShellCompDirectiveNoFileComp
	}
}

// completionRegistry calls use with the registry, read-only and without messages. A
// completion prints no errors: without a registry there are no names.
func (app *App) completionRegistry(use func(reg *be.Registry)) {
	st, err := app.OpenStore(app.options.Root)
	if err != nil {
		return
	}
	defer st.Close()
	use(be.NewRegistry(st, app.options.Root, rootconf.Identify))
}

func (app *App) environmentNames() (names []string) {
	app.completionRegistry(func(reg *be.Registry) {
		envs, _ := reg.List()
		for _, e := range envs {
			names = append(names, e.Name)
		}
	})
	return names
}

func (app *App) shareNames() (names []string) {
	app.completionRegistry(func(reg *be.Registry) {
		shares, _ := share.New(reg, share.NoHost{}).List()
		for _, s := range shares {
			names = append(names, s.Name)
		}
	})
	return names
}
