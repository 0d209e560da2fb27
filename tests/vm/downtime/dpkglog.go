package main

import (
	"fmt"
	"strings"
	"time"
)

// changing returns the period in which dpkg changed packages, from its log: from the
// first change until all packages are configured. The log's times are whole seconds of
// the machine's clock, in UTC.
func changing(log string) (from, to time.Time, err error) {
	unfinished := map[string]bool{}
	for line := range strings.Lines(log) {
		words := strings.Fields(line)
		if len(words) < 5 || words[2] == "startup" {
			continue
		}
		at, err := time.Parse(time.DateTime, words[0]+" "+words[1])
		if err != nil {
			return from, to, fmt.Errorf("cannot read dpkg's log: %w", err)
		}
		if from.IsZero() {
			from = at
		}
		to = at
		if words[2] == "status" {
			switch words[3] {
			case "installed", "config-files", "not-installed":
				delete(unfinished, words[4])
			default:
				unfinished[words[4]] = true
			}
		}
	}
	if from.IsZero() {
		return from, to, fmt.Errorf("dpkg's log has no change")
	}
	if len(unfinished) > 0 {
		return from, to, fmt.Errorf("the upgrade left %d packages half done", len(unfinished))
	}
	return from, to, nil
}
