package cli

import "testing"

// Every visible verb is in a group of the help, and every name in a group is a verb.
func TestEachVerbHasAGroup(t *testing.T) {
	root := NewCommand(&App{})
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.GroupID == "" {
			t.Errorf("%s is in no group", cmd.Name())
		}
	}
	for _, g := range groups {
		for _, verb := range g.verbs {
			if cmd, _, err := root.Find([]string{verb}); err != nil || cmd.Name() != verb {
				t.Errorf("the group %s lists %s, which is not a verb", g.id, verb)
			}
		}
	}
}
