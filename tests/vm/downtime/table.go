package main

import (
	"fmt"
	"strings"
	"time"
)

// table returns the figures of all ways in Markdown.
func table(ways []Way) string {
	rows := [][]string{{"way", "upgrade", "outage, upgrading", "outage, switching", "longest outage", "slowest answer, upgrading", "old and new mixed", "on old files after it"}}
	for _, w := range ways {
		both := append(append([]Span{}, w.Upgrade.Outages...), w.Switch.Outages...)
		rows = append(rows, []string{
			w.Name, figure(w.Upgrade.Length), figure(total(w.Upgrade.Outages)), figure(total(w.Switch.Outages)),
			figure(longest(both)), figure(w.Upgrade.Slowest), figure(w.Mixed.Length()),
			fmt.Sprintf("%d of %d processes", w.Stale, w.Processes),
		})
	}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell))
		}
	}
	var text strings.Builder
	for i, row := range rows {
		for j, cell := range row {
			fmt.Fprintf(&text, "| %-*s ", widths[j], cell)
		}
		text.WriteString("|\n")
		if i > 0 {
			continue
		}
		for _, width := range widths {
			text.WriteString("|" + strings.Repeat("-", width+2))
		}
		text.WriteString("|\n")
	}
	return text.String()
}

// The comments around the table in a page.
const (
	tableBegin = "<!-- table -->\n"
	tableEnd   = "<!-- end of table -->\n"
)

// insert replaces the table in a page.
func insert(page, table string) (string, error) {
	before, rest, ok := strings.Cut(page, tableBegin)
	_, after, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return "", fmt.Errorf("the page has no place for a table")
	}
	return before + tableBegin + "\n" + table + "\n" + tableEnd + after, nil
}

// figure returns a duration in seconds, with a tenth if it is below ten.
func figure(d time.Duration) string {
	switch {
	case d == 0:
		return "0 s"
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
