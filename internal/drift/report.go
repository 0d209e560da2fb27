package drift

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
)

// Outcome is what a user is told about a change.
type Outcome string

// The fates.
const (
	Carried  Outcome = "carried"  // it will be in the environment
	Merged   Outcome = "merged"   // so will what the environment changed
	Conflict Outcome = "conflict" // it will be in the environment, and what both changed is one's there and the other's beside it, or lost
	Skipped  Outcome = "skipped"  // it stays behind
	Refused  Outcome = "refused"  // both changed it, and somebody has to decide
)

// Outcomes are all fates, the worst last.
var Outcomes = []Outcome{Carried, Merged, Conflict, Skipped, Refused}

// Outcome says what becomes of a change.
func (c Change) Outcome() Outcome {
	switch {
	case c.Decision.Refused:
		return Refused
	case c.Source == merge.FromTarget && !c.Changes(c.Target):
		return Skipped
	case c.KeepTarget || c.KeepRunning || len(c.Conflicts) > 0 || c.Conflict != "":
		return Conflict
	case c.Source == merge.FromRunning:
		return Carried
	default:
		return Merged
	}
}

// settled says that the environment has it already, so that there is nothing
// to tell.
func (c Change) settled() bool {
	return c.Description == "" && !c.Decision.Refused && c.Conflict == "" && c.Source == merge.FromTarget && !c.Changes(c.Target) && c.Running.Same(c.Target)
}

// Area is the part of the system that a path is in, as an admin thinks of it:
// /etc, /home, /usr/local, and below /var two or three parts.
func Area(name string) string {
	parts := strings.Split(name, "/")
	depth := 1
	switch {
	case len(parts) == 1:
		return "/"
	case parts[0] == "var" && (parts[1] == "lib" || parts[1] == "cache" || parts[1] == "spool"):
		depth = 3
	case parts[0] == "var", parts[0] == "usr":
		depth = 2
	}
	return "/" + path.Join(parts[:min(depth, len(parts)-1)]...)
}

// Areas counts the changes in each area by their fates, and returns the areas
// in order.
func (d *Drift) Areas() (areas []string, counts map[string]Counts) {
	counts = map[string]Counts{}
	for _, c := range d.Changes {
		area := Area(c.Path)
		if counts[area] == nil {
			counts[area] = Counts{}
			areas = append(areas, area)
		}
		counts[area][c.Outcome()]++
	}
	slices.Sort(areas)
	return areas, counts
}

// Counts is how many changes have each fate, of those that have any.
type Counts map[Outcome]int

// Count counts the changes by their fates.
func (d *Drift) Count() Counts {
	counts := Counts{}
	for _, c := range d.Changes {
		counts[c.Outcome()]++
	}
	return counts
}

// String says it in words, such as "files: 12 carried, 1 merged"; it is "" if
// nothing changed.
func (c Counts) String() string {
	var parts []string
	for _, fate := range Outcomes {
		if n := c[fate]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, fate))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "files: " + strings.Join(parts, ", ")
}
