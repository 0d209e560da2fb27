package bars

import (
	"image/color"
	"math"
	"strings"
	"testing"
)

// sample has two groups with scales of their own, an empty row, and a chart's texts.
func sample() Chart {
	bar := func(from, to float64) Bar { return Bar{From: from, To: to, Colour: Hex(0xff0000), Height: 10} }
	mark := Bar{From: 50, To: 50, Colour: Hex(0x0000ff), Height: 10, MinWidth: 2}
	return Chart{
		Title: "One & two", RowHeight: 24,
		Legend: []Entry{{Text: "green", Colour: Hex(0x00ff00)}},
		Panels: []Panel{{Title: "time", Unit: "s", Width: 2}, {Title: "size", Unit: "MB", Width: 1}},
		Groups: []Group{
			{Title: "first", Rows: []Row{
				{Name: "long", Note: "a note", Cells: []Cell{{Bars: []Bar{bar(0, 100), mark}, Label: "× 2.00"}, {Bars: []Bar{bar(0, 4)}}}},
				{Name: "half", Cells: []Cell{{Bars: []Bar{bar(0, 50)}}, {}}},
			}},
			{Title: "second", Rows: []Row{{Name: "none", Cells: []Cell{{Bars: []Bar{bar(0, 1)}}, {}}}}},
		},
	}
}

func TestSVG(t *testing.T) {
	svg := sample().SVG()
	err := Check(svg, map[color.Color]int{Hex(0xff0000): 4, Hex(0x0000ff): 1, Hex(0x00ff00): 1, Hex(0x123456): 0})
	if err != nil {
		t.Error(err)
	}
	for _, text := range []string{">One &amp; two<", ">first<", ">second<", ">long<", ">a note<", ">× 2.00<", ">time<", ">size<", ">green<", ">0 s<", ">100 s<", ">0 MB<"} {
		if !strings.Contains(svg, text) {
			t.Errorf("no %q in\n%s", text, svg)
		}
	}
}

// TestScale checks the lengths of bars: half of the value is half of the length, and
// each group has a scale of its own.
func TestScale(t *testing.T) {
	shapes, err := Shapes(sample().SVG())
	if err != nil {
		t.Fatal(err)
	}
	var bars []Shape
	for _, s := range shapes {
		if s.Colour == "#FF0000" || s.Colour == "#0000FF" {
			bars = append(bars, s)
		}
	}
	if len(bars) != 5 {
		t.Fatalf("the bars are %+v", bars)
	}
	long, mark, half, second := bars[0], bars[1], bars[2], bars[4]
	length := func(s Shape) float64 { return s.Right - s.Left }
	if math.Abs(length(half)/length(long)-0.5) > 0.01 || half.Left != long.Left {
		t.Errorf("100 is %+v and 50 is %+v", long, half)
	}
	if math.Abs(mark.Left-half.Right) > 0.1 || math.Abs(length(mark)-2) > 0.1 {
		t.Errorf("the mark of 50 is %+v, and the bar %+v", mark, half)
	}
	if length(second) < length(long)/2 {
		t.Errorf("the second group has no scale of its own: %+v", second)
	}
}

// TestCheckFails shows that Check can fail.
func TestCheckFails(t *testing.T) {
	c := sample()
	if err := Check(c.SVG(), map[color.Color]int{Hex(0xff0000): 5}); err == nil || !strings.Contains(err.Error(), "4 shapes are #FF0000, want 5") {
		t.Errorf("Check = %v", err)
	}
	c.Groups[0].Rows[0].Cells[0].Bars[1].MinWidth = 2000
	if err := Check(c.SVG(), nil); err == nil || !strings.Contains(err.Error(), "outside") {
		t.Errorf("Check = %v", err)
	}
	if _, err := Shapes("<svg>"); err == nil {
		t.Error("half a file has shapes")
	}
}
