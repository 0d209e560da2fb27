package cli

import "github.com/spf13/cobra"

// groups are the groups of verbs in the help, with their verbs. The verbs of apt-get are
// in a group of their own.
var groups = []struct {
	id, title string
	verbs     []string
}{
	{"environments", "Environments:", []string{"list", "create", "destroy", "rename", "keep", "unkeep", "prune", "mount", "unmount", "run", "shell"}},
	{"upgrade", "Upgrades and changes:", []string{"explain", "log", "diff", "drift", "sync"}},
	{"boot", "Booting:", []string{"plan", "activate", "deactivate", "rollback", "bless"}},
	{"state", "State:", []string{"status", "health", "doctor"}},
	{"maintenance", "Setup and maintenance:", []string{"init", "share", "dedupe", "completion"}},
}

// aptGroup is the group of apt-get's verbs.
const aptGroup = "apt"

// group assigns each verb to its group.
func group(root *cobra.Command) {
	of := map[string]string{}
	for _, g := range groups {
		root.AddGroup(&cobra.Group{ID: g.id, Title: g.title})
		for _, verb := range g.verbs {
			of[verb] = g.id
		}
	}
	root.AddGroup(&cobra.Group{ID: aptGroup, Title: "apt-get in a boot environment:"})
	for _, verb := range aptVerbs {
		of[verb] = aptGroup
	}
	for _, cmd := range root.Commands() {
		cmd.GroupID = of[cmd.Name()]
	}
	root.SetHelpCommandGroupID("state")
}
