// Package bars draws bar charts as SVG, for the plots of tests/bench and
// tests/vm/downtime: groups of rows, each with the same panels side by side.
package bars

import (
	"bytes"
	"fmt"
	"image/color"
	"math"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Measures of a chart, in points.
const (
	Width  = 900
	Margin = 24

	topHeight    = 48
	legendHeight = 22
	titleHeight  = 26 // of a group
	panelTitle   = 22
	panelHeight  = panelTitle + 26 // the title and the scale
	nameWidth    = 190
	panelGap     = 20
)

// Colours of text and lines.
var (
	ink   = Hex(0x24292f)
	faint = Hex(0x6e7781)
	line  = Hex(0xd8dee4)
)

// Hex returns the colour 0xRRGGBB.
func Hex(rgb uint32) color.Color {
	return color.NRGBA{R: uint8(rgb >> 16), G: uint8(rgb >> 8), B: uint8(rgb), A: 0xff}
}

// Chart is all that one file shows.
type Chart struct {
	Title     string
	Legend    []Entry
	Groups    []Group
	Panels    []Panel
	RowHeight float64
}

// Entry explains a colour.
type Entry struct {
	Text   string
	Colour color.Color
}

// Panel is a column of a chart. Each group has a scale of its own for it, or all
// groups have one if there is one group.
type Panel struct {
	Title, Unit string
	Width       float64 // the share of the panel in the width of all
}

// Group is some rows with common scales.
type Group struct {
	Title string
	Rows  []Row
}

// Row has one Cell for each panel.
type Row struct {
	Name, Note string
	Cells      []Cell
}

// Cell is what a panel shows of a row.
type Cell struct {
	Bars  []Bar
	Label string // at the end of the bars
}

// Bar is a rectangle between two values of the scale.
type Bar struct {
	From, To float64
	Colour   color.Color
	Height   float64 // in points
	MinWidth float64 // in points, so that short bars can be seen
}

// SVG draws the chart.
func (c Chart) SVG() string {
	height := float64(topHeight)
	if len(c.Legend) > 0 {
		height += legendHeight
	}
	top := height
	for _, g := range c.Groups {
		height += c.groupHeight(g)
	}
	height += Margin / 2
	file := vgsvg.New(vg.Length(Width), vg.Length(height))
	d := &drawing{Canvas: draw.New(file), height: height}
	d.FillPolygon(color.White, rectangle(0, 0, Width, vg.Length(height)))
	d.text(Margin, 32, style(17, ink), c.Title)
	x := float64(Margin)
	for _, e := range c.Legend {
		d.fill(x, topHeight+1, 14, 12, e.Colour)
		d.text(x+20, topHeight+12, style(12, ink), e.Text)
		x += 20 + float64(style(12, ink).Width(e.Text)) + 24
	}
	for _, g := range c.Groups {
		c.group(d, g, top)
		top += c.groupHeight(g)
	}
	var text bytes.Buffer
	if _, err := file.WriteTo(&text); err != nil {
		panic(err) // a buffer takes everything
	}
	return text.String()
}

func (c Chart) groupHeight(g Group) float64 {
	height := panelHeight + c.RowHeight*float64(len(g.Rows))
	if g.Title != "" {
		height += titleHeight
	}
	return height
}

// group draws a group below top.
func (c Chart) group(d *drawing, g Group, top float64) {
	bottom := top + c.groupHeight(g)
	if g.Title != "" {
		d.text(Margin, top+18, style(14, ink), g.Title)
		top += titleHeight
	}
	total := 0.0
	for _, p := range c.Panels {
		total += p.Width
	}
	left := float64(Margin + nameWidth)
	space := Width - Margin - left - panelGap*float64(len(c.Panels)-1)
	for i, p := range c.Panels {
		width := space * p.Width / total
		area := draw.Crop(d.Canvas, vg.Length(left), vg.Length(left+width-Width), vg.Length(d.height-bottom), vg.Length(-top-panelTitle))
		d.text(left, top+panelTitle-6, style(12, faint), p.Title)
		left += width + panelGap
		panel, rows := newPanel(p, i, g)
		panel.Draw(area)
		if i > 0 {
			continue
		}
		data := panel.DataCanvas(area)
		_, y := panel.Transforms(&data)
		for n, row := range g.Rows {
			at := d.height - float64(y(rows.at(n)))
			if row.Note == "" {
				d.text(Margin, at+4, style(12, ink), row.Name)
			} else {
				d.text(Margin, at-2, style(14, ink), row.Name)
				d.text(Margin, at+13, style(11, faint), row.Note)
			}
		}
	}
}

// newPanel returns the plot of a panel of a group.
func newPanel(p Panel, i int, g Group) (*plot.Plot, rows) {
	r := rows{panel: i, rows: g.Rows}
	panel := plot.New()
	panel.BackgroundColor = nil
	panel.HideY()
	panel.X.LineStyle.Width = 0
	panel.X.Tick.LineStyle.Color = line
	panel.X.Tick.Label = style(11, faint)
	panel.X.Tick.Label.XAlign, panel.X.Tick.Label.YAlign = draw.XCenter, draw.YTop
	panel.X.Tick.Marker = ticks{p.Unit}
	panel.Add(&r)
	panel.X.Min, panel.X.Max, panel.Y.Min, panel.Y.Max = 0, r.end()*1.02, -0.5, float64(len(g.Rows))-0.5
	return panel, r
}

// rows draws a panel's cells of all rows of a group. It is a plot.Plotter.
type rows struct {
	panel int
	rows  []Row
}

// at returns the place of a row: the first is at the top.
func (r rows) at(n int) float64 { return float64(len(r.rows) - 1 - n) }

// end returns the largest value of the panel, with space for the labels.
func (r rows) end() float64 {
	end, labelled := 0.0, false
	for _, row := range r.rows {
		for _, b := range row.Cells[r.panel].Bars {
			end = max(end, b.To)
		}
		labelled = labelled || row.Cells[r.panel].Label != ""
	}
	switch {
	case end <= 0:
		return 1
	case labelled:
		return end * 1.18
	}
	return end
}

// Plot draws the rows, with a line at each labelled tick.
func (r *rows) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for _, tick := range p.X.Tick.Marker.Ticks(p.X.Min, p.X.Max) {
		if !tick.IsMinor() {
			c.StrokeLine2(draw.LineStyle{Color: line, Width: 1}, x(tick.Value), c.Min.Y, x(tick.Value), c.Max.Y)
		}
	}
	for n, row := range r.rows {
		cell, middle, end := row.Cells[r.panel], y(r.at(n)), x(0)
		for _, b := range cell.Bars {
			from, to := x(max(0, b.From)), x(b.To)
			to = max(to, from+vg.Length(b.MinWidth))
			c.FillPolygon(b.Colour, rectangle(from, middle-vg.Length(b.Height/2), to, middle+vg.Length(b.Height/2)))
			end = max(end, to)
		}
		if cell.Label != "" {
			label := style(11, faint)
			label.YAlign = draw.YCenter
			c.FillText(label, vg.Point{X: end + 6, Y: middle}, cell.Label)
		}
	}
}

// ticks are gonum's, with whole numbers and a unit.
type ticks struct{ unit string }

// Ticks implements plot.Ticker.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	all := plot.DefaultTicks{}.Ticks(low, high)
	var major []plot.Tick
	for _, tick := range all {
		if !tick.IsMinor() {
			tick.Label = fmt.Sprintf("%g %s", math.Round(tick.Value*10)/10, t.unit)
			major = append(major, tick)
		}
	}
	return major
}

// drawing is a canvas whose y goes down.
type drawing struct {
	draw.Canvas
	height float64
}

func (d *drawing) text(x, y float64, s draw.TextStyle, text string) {
	d.FillText(s, vg.Point{X: vg.Length(x), Y: vg.Length(d.height - y)}, text)
}

func (d *drawing) fill(x, y, width, height float64, c color.Color) {
	bottom := vg.Length(d.height - y - height)
	d.FillPolygon(c, rectangle(vg.Length(x), bottom, vg.Length(x+width), bottom+vg.Length(height)))
}

func rectangle(left, bottom, right, top vg.Length) []vg.Point {
	return []vg.Point{{X: left, Y: bottom}, {X: right, Y: bottom}, {X: right, Y: top}, {X: left, Y: top}}
}

func style(size float64, c color.Color) draw.TextStyle {
	return draw.TextStyle{
		Color: c, Handler: plot.DefaultTextHandler,
		Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: font.Length(size)},
	}
}
