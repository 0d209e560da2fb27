package main

import (
	"image/color"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/bars"
)

// TestPlot reads the plot back: it is well-formed, nothing is outside, and each
// outage and mixed time is there.
func TestPlot(t *testing.T) {
	svg := plot(examples())
	// One more of each is in the legend.
	if err := bars.Check(svg, map[color.Color]int{green: 4, amber: 2, red: 4}); err != nil {
		t.Error(err)
	}
	for _, text := range []string{">in place<", ">reboot<", "out 16 s, mixed 270 s", "out 58 s, mixed 0 s", "12 of 20 processes"} {
		if !strings.Contains(svg, text) {
			t.Errorf("no %q in\n%s", text, svg)
		}
	}
}
