package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestPlot reads the plot back: it is well-formed, nothing is outside, and each
// outage and mixed time is there.
func TestPlot(t *testing.T) {
	svg := plot(examples())
	decoder := xml.NewDecoder(strings.NewReader(svg))
	colours := map[string]int{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Local != "rect" {
			continue
		}
		attributes := map[string]string{}
		for _, a := range element.Attr {
			attributes[a.Name.Local] = a.Value
		}
		colours[attributes["fill"]]++
		if strings.HasSuffix(attributes["width"], "%") {
			continue
		}
		x, _ := strconv.ParseFloat(attributes["x"], 64)
		width, err := strconv.ParseFloat(attributes["width"], 64)
		if err != nil || x < margin || width <= 0 || x+width > plotWidth-margin {
			t.Errorf("outside: %v", attributes)
		}
	}
	// One more of each is in the legend.
	for colour, want := range map[string]int{green: 4, amber: 2, red: 4} {
		if colours[colour] != want {
			t.Errorf("%d bars are %s, want %d", colours[colour], colour, want)
		}
	}
	for _, text := range []string{">in place<", ">reboot<", "out 16 s, mixed 270 s", "out 58 s, mixed 0 s", "12 of 20 processes"} {
		if !strings.Contains(svg, text) {
			t.Errorf("no %q in\n%s", text, svg)
		}
	}
}

func TestTick(t *testing.T) {
	for end, want := range map[time.Duration]time.Duration{
		5 * time.Second:   time.Second,
		12 * time.Second:  2 * time.Second,
		30 * time.Second:  5 * time.Second,
		80 * time.Second:  20 * time.Second,
		301 * time.Second: 100 * time.Second,
		900 * time.Second: 200 * time.Second,
		0:                 0,
	} {
		if got := tick(end); got != want {
			t.Errorf("%v: %v, want %v", end, got, want)
		}
	}
}
