package drift

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/merge"
)

// Fate is what a user is told about a change.
type Fate string

// The fates.
const (
	Carried Fate = "carried" // it will be in the environment
	Merged  Fate = "merged"  // so will what the environment changed
	Clashes Fate = "clashes" // it will be in the environment, and what both changed is one's there and the other's beside it, or lost
	Left    Fate = "left"    // it stays behind
	Refused Fate = "refused" // both changed it, and somebody has to decide
)

// Fates are all fates, the worst last.
var Fates = []Fate{Carried, Merged, Clashes, Left, Refused}

// Fate says what becomes of a change.
func (c Change) Fate() Fate {
	switch {
	case c.Decision.Refused:
		return Refused
	case c.Thing == merge.FromNext && !c.Changes(c.Next):
		return Left
	case c.Aside || c.Beside || len(c.Clashes) > 0 || c.Why != "":
		return Clashes
	case c.Thing == merge.FromLive:
		return Carried
	default:
		return Merged
	}
}

// settled says that the environment has it already, so that there is nothing
// to tell.
func (c Change) settled() bool {
	return c.What == "" && !c.Decision.Refused && c.Why == "" && c.Thing == merge.FromNext && !c.Changes(c.Next) && c.Live.Same(c.Next)
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
		counts[area][c.Fate()]++
	}
	slices.Sort(areas)
	return areas, counts
}

// Counts is how many changes have each fate, of those that have any.
type Counts map[Fate]int

// Count counts the changes by their fates.
func (d *Drift) Count() Counts {
	counts := Counts{}
	for _, c := range d.Changes {
		counts[c.Fate()]++
	}
	return counts
}

// String says it in words, such as "files: 12 carried, 1 merged"; it is "" if
// nothing changed.
func (c Counts) String() string {
	var parts []string
	for _, fate := range Fates {
		if n := c[fate]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, fate))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return "files: " + strings.Join(parts, ", ")
}
