package main

import (
	"fmt"

	"github.com/apt-be/apt-be/tests/bars"
)

// Colours.
var (
	blue = bars.Hex(0x6ea8dc)
	grey = bars.Hex(0xb7bec6)
	dark = bars.Hex(0x1f4e79)
)

// Chart is the part of the plot for one workload.
type Chart struct {
	Title string
	Rows  []Row
}

// plot draws the times and the written bytes of all workloads as SVG: a bar for the
// median, and a mark for each run.
func plot(charts []Chart) string {
	c := bars.Chart{
		Title:     "What an upgrade takes: in place, and in a boot environment",
		Panels:    []bars.Panel{{Title: "time", Unit: "s", Width: 1}, {Title: "written to the disk", Unit: "MB", Width: 1}},
		RowHeight: 24,
	}
	for _, chart := range charts {
		g := bars.Group{Title: chart.Title}
		for _, row := range chart.Rows {
			g.Rows = append(g.Rows, bars.Row{Name: row.Title, Cells: []bars.Cell{
				cell(row, row.Wall, row.WallRatio, wall),
				cell(row, row.Written/1e6, row.WrittenRatio, func(r Result) float64 { return wrote(r) / 1e6 }),
			}})
		}
		c.Groups = append(c.Groups, g)
	}
	return c.SVG()
}

func cell(row Row, median, ratio float64, each func(Result) float64) bars.Cell {
	const barHeight, markWidth = 14, 2
	colour := blue
	if row.Key == keyStock {
		colour = grey
	}
	shown := bars.Cell{Bars: []bars.Bar{{To: median, Colour: colour, Height: barHeight}}}
	for _, run := range row.Runs {
		shown.Bars = append(shown.Bars, bars.Bar{From: each(run), To: each(run), Colour: dark, Height: barHeight + 4, MinWidth: markWidth})
	}
	if ratio != 0 {
		shown.Label = fmt.Sprintf("× %.2f", ratio)
	}
	return shown
}
