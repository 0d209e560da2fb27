package main

import (
	"fmt"
	"slices"
	"strings"
)

// Row has a variant's medians over its rounds.
type Row struct {
	Key, Title string
	Runs       []Result
	Wall, CPU  float64 // seconds
	Sync       float64 // seconds of a syncfs(2) afterwards
	Written    float64 // bytes, like all fields below
	Data, Meta float64
	Minimum    float64
	Syncs      float64
	// WallRatio and WrittenRatio compare with the first variant: the median of the
	// ratios of each round's pair of runs. 0 if there is no pair.
	WallRatio, WrittenRatio float64
}

// rows returns a workload's medians in the order of the given variants. Other variants
// follow in the order of their runs.
func rows(results []Result, order []Variant) []Row {
	var list []Row
	place := map[string]int{}
	for _, v := range order {
		place[v.Key] = len(list)
		list = append(list, Row{Key: v.Key, Title: v.Title})
	}
	stock := map[int]Result{}
	for _, r := range results {
		if r.Variant == keyStock {
			stock[r.Round] = r
		}
		i, ok := place[r.Variant]
		if !ok {
			i = len(list)
			place[r.Variant] = i
			list = append(list, Row{Key: r.Variant, Title: r.Title})
		}
		list[i].Runs = append(list[i].Runs, r)
	}
	list = slices.DeleteFunc(list, func(row Row) bool { return len(row.Runs) == 0 })
	for i := range list {
		row := &list[i]
		of := func(value func(Result) float64) float64 {
			var values []float64
			for _, r := range row.Runs {
				values = append(values, value(r))
			}
			return median(values)
		}
		ratio := func(value func(Result) float64) float64 {
			var values []float64
			for _, r := range row.Runs {
				if s, ok := stock[r.Round]; ok && value(s) > 0 {
					values = append(values, value(r)/value(s))
				}
			}
			return median(values)
		}
		row.Wall = of(wall)
		row.Sync = of(func(r Result) float64 { return r.SyncWall })
		row.CPU = of(func(r Result) float64 { return r.User + r.System })
		row.Written = of(wrote)
		row.Data = of(func(r Result) float64 { return float64(r.Data) })
		row.Meta = of(func(r Result) float64 { return float64(r.Metadata) })
		row.Minimum = of(func(r Result) float64 { return float64(r.Minimum) })
		row.Syncs = of(func(r Result) float64 { return float64(r.Syncs) })
		row.WallRatio = ratio(wall)
		row.WrittenRatio = ratio(wrote)
	}
	return list
}

func wall(r Result) float64  { return r.Wall }
func wrote(r Result) float64 { return float64(r.Written) }

// median returns the median, or 0 without values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// tableOf returns a workload's figures in Markdown.
func tableOf(list []Row) string {
	cells := [][]string{{"", "wall", "wall, in place = 1", "runs", "sync after it", "user + system", "written", "written, in place = 1", "syncs", "new data", "new metadata", "least new data"}}
	for _, row := range list {
		var walls []string
		for _, r := range row.Runs {
			walls = append(walls, fmt.Sprintf("%.0f", wall(r)))
		}
		cells = append(cells, []string{
			row.Title, seconds(row.Wall), ratioText(row.WallRatio), strings.Join(walls, " "), seconds(row.Sync), seconds(row.CPU),
			megabytes(row.Written), ratioText(row.WrittenRatio), fmt.Sprintf("%.0f", row.Syncs),
			megabytes(row.Data), megabytes(row.Meta), megabytes(row.Minimum),
		})
	}
	return markdown(cells)
}

// summary describes the upgrade in a sentence.
func summary(list []Row) string {
	if len(list) == 0 {
		return ""
	}
	r := list[0].Runs[0]
	return fmt.Sprintf("%d packages upgraded, %d new, %d removed; %s of packages. %d files of more than 2 KiB (%s) are written with the content that they had.\n",
		r.Changes.Upgraded, r.Changes.New, r.Changes.Removed, megabytes(float64(r.DebBytes)), r.Same, megabytes(float64(r.SameBytes)))
}

// markdown returns a table; the first line has the titles. All columns except the first
// are aligned to the right.
func markdown(cells [][]string) string {
	widths := make([]int, len(cells[0]))
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], len(cell), 3)
		}
	}
	var text strings.Builder
	for i, row := range cells {
		for j, cell := range row {
			if j == 0 {
				fmt.Fprintf(&text, "| %-*s ", widths[j], cell)
			} else {
				fmt.Fprintf(&text, "| %*s ", widths[j], cell)
			}
		}
		text.WriteString("|\n")
		if i > 0 {
			continue
		}
		for j, width := range widths {
			if j == 0 {
				text.WriteString("|" + strings.Repeat("-", width+2))
			} else {
				text.WriteString("|" + strings.Repeat("-", width+1) + ":")
			}
		}
		text.WriteString("|\n")
	}
	return text.String()
}

func seconds(s float64) string {
	if s < 10 {
		return fmt.Sprintf("%.1f s", s)
	}
	return fmt.Sprintf("%.0f s", s)
}

func megabytes(n float64) string {
	if n < 10e6 {
		return fmt.Sprintf("%.1f MB", n/1e6)
	}
	return fmt.Sprintf("%.0f MB", n/1e6)
}

func ratioText(r float64) string {
	if r == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", r)
}
