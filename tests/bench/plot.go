package main

import (
	"fmt"
	"html"
	"math"
	"strings"
)

// Measures of the plot, in its own units.
const (
	plotWidth  = 900
	rowHeight  = 24
	barHeight  = 14
	headHeight = 58 // of a group: its title and its scales' titles
	footHeight = 34 // of a group: its scales
	topHeight  = 48
	namesWidth = 190
	panelWidth = 290
	panelGap   = 62 // the ratio at a bar's end has to fit in
	margin     = 24
)

// Colours.
const (
	blue  = "#6ea8dc"
	grey  = "#b7bec6"
	dark  = "#1f4e79"
	ink   = "#24292f"
	faint = "#6e7781"
	line  = "#d8dee4"
)

// Chart is what the plot shows of a workload.
type Chart struct {
	Title string
	Rows  []Row
}

// panel is one measure of all rows of a group, with its own scale.
type panel struct {
	left  float64
	title string
	unit  string
	value func(Row) float64
	each  func(Result) float64
	ratio func(Row) float64
	end   float64 // where the scale ends
}

func (p panel) x(v float64) float64 { return p.left + panelWidth*min(1, max(0, v/p.end)) }

// plot draws the times and what was written of all workloads as SVG.
func plot(charts []Chart) string {
	d := &drawing{}
	d.text(margin, 32, "font-size=\"17\" font-weight=\"600\"", "What an upgrade takes: in place, and in a boot environment")
	y := float64(topHeight)
	for _, g := range charts {
		y = d.group(g, y)
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" font-family="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif" fill="%s">
<rect width="100%%" height="100%%" rx="8" fill="#ffffff"/>
%s</svg>
`, plotWidth, y+8, ink, d)
}

// drawing is elements of an SVG file.
type drawing struct{ strings.Builder }

func (d *drawing) text(x, y float64, attributes, text string) {
	fmt.Fprintf(d, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes, html.EscapeString(text))
}

func (d *drawing) bar(x, y, width, height float64, colour string) {
	fmt.Fprintf(d, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, width, height, colour)
}

// group draws a workload below y, and returns where the next one begins.
func (d *drawing) group(g Chart, y float64) float64 {
	d.text(margin, y+22, "font-size=\"14\" font-weight=\"600\"", g.Title)
	panels := []panel{
		{
			left: margin + namesWidth, title: "time", unit: "s",
			value: func(r Row) float64 { return r.Wall }, each: wall,
			ratio: func(r Row) float64 { return r.WallRatio },
		},
		{
			left: margin + namesWidth + panelWidth + panelGap, title: "written to the disk", unit: "MB",
			value: func(r Row) float64 { return r.Written / 1e6 }, each: func(r Result) float64 { return wrote(r) / 1e6 },
			ratio: func(r Row) float64 { return r.WrittenRatio },
		},
	}
	top := y + headHeight
	bottom := top + float64(rowHeight*len(g.Rows))
	for _, p := range panels {
		for _, row := range g.Rows {
			for _, run := range row.Runs {
				p.end = max(p.end, p.each(run))
			}
		}
		d.axis(p, top, bottom)
		for i, row := range g.Rows {
			d.row(p, row, top+float64(rowHeight*i+(rowHeight-barHeight)/2))
		}
	}
	for i, row := range g.Rows {
		d.text(margin, top+float64(rowHeight*i)+16, "font-size=\"12\"", row.Title)
	}
	return bottom + footHeight
}

// row draws the bar of a median, with a mark for each run.
func (d *drawing) row(p panel, row Row, y float64) {
	colour := blue
	if row.Key == keyStock {
		colour = grey
	}
	d.bar(p.left, y, p.x(p.value(row))-p.left, barHeight, colour)
	end := p.x(p.value(row))
	for _, run := range row.Runs {
		x := p.x(p.each(run))
		d.bar(x-1, y-2, 2, barHeight+4, dark)
		end = max(end, x)
	}
	if ratio := p.ratio(row); ratio != 0 {
		d.text(end+6, y+11, "font-size=\"11\" fill=\""+faint+"\"", fmt.Sprintf("× %.2f", ratio))
	}
}

// axis draws the scale of a panel, below the rows, and its title above them.
func (d *drawing) axis(p panel, top, bottom float64) {
	d.text(p.left, top-8, "font-size=\"12\" fill=\""+faint+"\"", p.title)
	step := tick(p.end)
	for at := 0.0; at <= p.end && step > 0; at += step {
		x := p.x(at)
		fmt.Fprintf(d, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x, top, x, bottom, line)
		d.text(x, bottom+16, "font-size=\"11\" text-anchor=\"middle\" fill=\""+faint+"\"", fmt.Sprintf("%.0f %s", at, p.unit))
	}
}

// tick is the distance of two marks of a scale: 1, 2 or 5 times a power of ten,
// so that there are at most four between its ends.
func tick(end float64) float64 {
	if end <= 0 {
		return 0
	}
	for power := math.Pow(10, math.Floor(math.Log10(end/4))); ; power *= 10 {
		for _, step := range []float64{power, 2 * power, 5 * power} {
			if end <= 4*step {
				return step
			}
		}
	}
}
