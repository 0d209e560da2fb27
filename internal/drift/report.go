package drift

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
)

// Outcome is the result for a change, as users see it.
type Outcome string

// The outcomes.
const (
	Carried  Outcome = "carried"  // the target gets the running system's version
	Merged   Outcome = "merged"   // the target gets the changes of both systems
	Conflict Outcome = "conflict" // both systems changed it: one version is in place, the other is beside it or lost
	Skipped  Outcome = "skipped"  // the target does not get the change
	Refused  Outcome = "refused"  // both systems changed it, and the administrator must decide
)

// Outcomes are all outcomes, the worst last.
var Outcomes = []Outcome{Carried, Merged, Conflict, Skipped, Refused}

// Outcome returns the outcome of a change.
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

// settled reports whether the target already contains the change, so that it is not
// reported.
func (c Change) settled() bool {
	return c.Description == "" && !c.Decision.Refused && c.Conflict == "" && c.Source == merge.FromTarget && !c.Changes(c.Target) && c.Running.Same(c.Target)
}

// Area returns the part of the system that contains a path: a top directory such as
// /etc or /home, two parts below /usr, and two or three parts below /var.
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

// Areas counts the changes of each area by outcome. It returns the areas sorted.
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

// Counts maps outcomes to the numbers of changes.
type Counts map[Outcome]int

// Count counts the changes by outcome.
func (d *Drift) Count() Counts {
	counts := Counts{}
	for _, c := range d.Changes {
		counts[c.Outcome()]++
	}
	return counts
}

// String formats the counts, such as "files: 12 carried, 1 merged". It returns "" if
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
