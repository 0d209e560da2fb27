package main

import (
	"fmt"
	"strings"
	"time"
)

// Measures of the plot, in its own units.
const (
	plotWidth  = 900
	rowsTop    = 92
	rowHeight  = 54
	barHeight  = 20
	namesWidth = 150
	panelGap   = 40
	margin     = 24
)

// Colours. That outages are taller than the rest helps who can't tell them.
const (
	green = "#9ad3a6"
	amber = "#f3b340"
	red   = "#cc2f3b"
	ink   = "#24292f"
	faint = "#6e7781"
	line  = "#d8dee4"
)

// panel is the part of the plot for one phase, with its own scale.
type panel struct {
	left, width float64
	end         time.Duration // where the scale ends
}

func (p panel) x(d time.Duration) float64 {
	return p.left + p.width*min(1, max(0, d.Seconds()/p.end.Seconds()))
}

// plot draws what happened in all ways, beside each other, as SVG: the upgrade
// to the left, and to the right the switch to what it made.
func plot(ways []Way) string {
	left := panel{left: margin + namesWidth, width: 400}
	right := panel{left: left.left + left.width + panelGap}
	right.width = plotWidth - margin - right.left
	for _, w := range ways {
		left.end = max(left.end, w.Upgrade.Length)
		right.end = max(right.end, w.Switch.Length)
	}
	bottom := float64(rowsTop + rowHeight*len(ways))
	d := &drawing{}
	d.text(margin, 32, "font-size=\"17\" font-weight=\"600\"", "Apache and MariaDB, asked from outside while their Debian is upgraded")
	legend := float64(margin)
	for _, entry := range []struct {
		colour, text string
		width        float64
	}{{green, "answers", 90}, {red, "no answer", 105}, {amber, "answers, but runs a mix of old and new packages", 0}} {
		d.bar(legend, 49, 14, 12, entry.colour)
		d.text(legend+20, 59, "font-size=\"12\"", entry.text)
		legend += entry.width
	}
	d.axis(left, bottom, "the upgrade")
	d.axis(right, bottom, "the switch to the new system")
	for i, w := range ways {
		y := float64(rowsTop + rowHeight*i + (rowHeight-barHeight)/2)
		d.text(margin, y+8, "font-size=\"14\" font-weight=\"600\"", w.Name)
		out := total(w.Upgrade.Outages) + total(w.Switch.Outages)
		d.text(margin, y+24, "font-size=\"11\" fill=\""+faint+"\"", fmt.Sprintf("out %s, mixed %s", figure(out), figure(w.Mixed.Length())))
		d.phase(left, y, w.Upgrade, w.Mixed)
		if w.Switch.Length > 0 {
			d.phase(right, y, w.Switch, Span{})
		} else {
			d.text(right.left, y+14, "font-size=\"11\" fill=\""+faint+"\" stroke=\"#ffffff\" stroke-width=\"4\" paint-order=\"stroke\"", fmt.Sprintf("none; %d of %d processes still run old files", w.Stale, w.Processes))
		}
	}
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" font-family="system-ui, 'DejaVu Sans', Helvetica, Arial, sans-serif" fill="%s">
<rect width="100%%" height="100%%" rx="8" fill="#ffffff"/>
%s</svg>
`, plotWidth, bottom+44, ink, d)
}

// drawing is elements of an SVG file.
type drawing struct{ strings.Builder }

func (d *drawing) text(x, y float64, attributes, text string) {
	fmt.Fprintf(d, "<text x=\"%.1f\" y=\"%.1f\" %s>%s</text>\n", x, y, attributes, text)
}

func (d *drawing) bar(x, y, width, height float64, colour string) {
	fmt.Fprintf(d, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", x, y, width, height, colour)
}

// axis draws the scale of a panel, below the rows, and its title above them.
func (d *drawing) axis(p panel, bottom float64, title string) {
	d.text(p.left, rowsTop-6, "font-size=\"12\" fill=\""+faint+"\"", title)
	step := tick(p.end)
	for at := time.Duration(0); at <= p.end; at += step {
		x := p.x(at)
		fmt.Fprintf(d, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/>\n", x, rowsTop, x, bottom, line)
		d.text(x, bottom+16, "font-size=\"11\" text-anchor=\"middle\" fill=\""+faint+"\"", fmt.Sprintf("%.0f s", at.Seconds()))
		if step == 0 {
			break
		}
	}
}

// phase draws one row of a panel.
func (d *drawing) phase(p panel, y float64, phase Phase, mixed Span) {
	d.bar(p.left, y, p.x(phase.Length)-p.left, barHeight, green)
	if mixed.Length() > 0 {
		d.bar(p.x(mixed.From), y, p.x(mixed.To)-p.x(mixed.From), barHeight, amber)
	}
	for _, outage := range phase.Outages {
		// The shortest one is still to be seen.
		d.bar(p.x(outage.From), y-5, max(1.5, p.x(outage.To)-p.x(outage.From)), barHeight+10, red)
	}
}

// tick is the distance of two marks of a scale: 1, 2 or 5 times a power of ten
// seconds, so that there are at most six.
func tick(end time.Duration) time.Duration {
	for power := time.Second; power < end; power *= 10 {
		for _, step := range []time.Duration{power, 2 * power, 5 * power} {
			if end <= 6*step {
				return step
			}
		}
	}
	return end
}
