package main

import (
	"image/color"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/bars"
)

// TestPlot parses the plot: it is well-formed, all elements are inside, and it contains
// each outage and each mixed period.
func TestPlot(t *testing.T) {
	svg := plot(examples())
	// The legend has one more of each.
	if err := bars.Check(svg, map[color.Color]int{green: 4, amber: 2, red: 4}); err != nil {
		t.Error(err)
	}
	for _, text := range []string{">in place<", ">reboot<", "out 16 s, mixed 270 s", "out 58 s, mixed 0 s", "12 of 20 processes"} {
		if !strings.Contains(svg, text) {
			t.Errorf("no %q in\n%s", text, svg)
		}
	}
}
