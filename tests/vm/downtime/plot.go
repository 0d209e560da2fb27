package main

import (
	"fmt"
	"time"

	"github.com/apt-be/apt-be/tests/bars"
)

// Colours. Outages are taller than the rest, for readers who cannot distinguish the
// colours.
var (
	green = bars.Hex(0x9ad3a6)
	amber = bars.Hex(0xf3b340)
	red   = bars.Hex(0xcc2f3b)
)

// plot draws all ways as SVG: the upgrade at the left, and the switch to the new system
// at the right.
func plot(ways []Way) string {
	g := bars.Group{}
	for _, w := range ways {
		out := total(w.Upgrade.Outages) + total(w.Switch.Outages)
		row := bars.Row{
			Name: w.Name, Note: fmt.Sprintf("out %s, mixed %s", figure(out), figure(w.Mixed.Length())),
			Cells: []bars.Cell{cell(w.Upgrade, w.Mixed), {}},
		}
		if w.Switch.Length > 0 {
			row.Cells[1] = cell(w.Switch, Span{})
		} else {
			row.Cells[1].Label = fmt.Sprintf("none; %d of %d processes still run old files", w.Stale, w.Processes)
		}
		g.Rows = append(g.Rows, row)
	}
	return bars.Chart{
		Title: "Apache and MariaDB, asked from outside while their Debian is upgraded",
		Legend: []bars.Entry{
			{Text: "answers", Colour: green}, {Text: "no answer", Colour: red},
			{Text: "answers, but runs a mix of old and new packages", Colour: amber},
		},
		Panels: []bars.Panel{
			{Title: "the upgrade", Unit: "s", Width: 3}, {Title: "the switch to the new system", Unit: "s", Width: 2},
		},
		Groups: []bars.Group{g}, RowHeight: 54,
	}.SVG()
}

// cell draws one phase.
func cell(phase Phase, mixed Span) bars.Cell {
	const barHeight = 20
	bar := func(from, to time.Duration) bars.Bar {
		return bars.Bar{From: from.Seconds(), To: to.Seconds(), Height: barHeight}
	}
	length := bar(0, phase.Length)
	length.Colour = green
	shown := bars.Cell{Bars: []bars.Bar{length}}
	if mixed.Length() > 0 {
		b := bar(mixed.From, mixed.To)
		b.Colour = amber
		shown.Bars = append(shown.Bars, b)
	}
	for _, outage := range phase.Outages {
		b := bar(outage.From, min(outage.To, phase.Length))
		b.Colour, b.Height, b.MinWidth = red, barHeight+10, 1.5
		shown.Bars = append(shown.Bars, b)
	}
	return shown
}
