package main

import (
	"image/color"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/bars"
)

// examples returns two rounds of two variants; the machine is slow in the second round.
func examples() []Result {
	run := func(variant string, round int, wall float64, written int64) Result {
		return Result{Workload: "release", Variant: variant, Round: round, Wall: wall, Written: written, User: wall / 2, Data: 2e9}
	}
	return []Result{run(keyStock, 0, 100, 8e9), run(keyDefault, 0, 50, 2e9), run(keyStock, 1, 200, 8e9), run(keyDefault, 1, 140, 2e9), run("my-own", 1, 100, 1e9)}
}

func TestRows(t *testing.T) {
	list := rows(examples(), variants())
	if len(list) != 3 || list[0].Key != keyStock || list[1].Key != keyDefault || list[2].Key != "my-own" {
		t.Fatalf("%+v", list)
	}
	// 0.5 and 0.7, although the medians' ratio is 95/150.
	if r := list[1]; r.Wall != 95 || ratioText(r.WallRatio) != "0.60" || ratioText(r.WrittenRatio) != "0.25" || r.CPU != 47.5 {
		t.Errorf("%+v", r)
	}
	if r := list[2]; ratioText(r.WallRatio) != "0.50" {
		t.Errorf("%+v", r)
	}
	text := tableOf(list)
	for _, want := range []string{"| environment ", " 95 s |", " 50 140 |", " 0.60 |", " 2000 MB |"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestMedian(t *testing.T) {
	for want, values := range map[float64][]float64{0: {}, 3: {5, 3, 1}, 2: {3, 1}} {
		if got := median(values); got != want {
			t.Errorf("of %v: %v, want %v", values, got, want)
		}
	}
}

// TestPlot parses the plot: it is well-formed, all elements are inside, and each
// variant has its bars and each run its marks.
func TestPlot(t *testing.T) {
	svg := plot([]Chart{{Title: "release & more", Rows: rows(examples(), variants())}})
	if err := bars.Check(svg, map[color.Color]int{grey: 2, blue: 4, dark: 10}); err != nil {
		t.Error(err)
	}
	if !strings.Contains(svg, "× 0.60") || !strings.Contains(svg, "release &amp; more") {
		t.Error(svg)
	}
}

func TestInsert(t *testing.T) {
	page := "a\n<!-- bench:one -->\nold\n<!-- end of bench:one -->\nb\n"
	got, err := insert(page, "one", "new\n")
	if want := "a\n<!-- bench:one -->\n\nnew\n\n<!-- end of bench:one -->\nb\n"; err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := insert(page, "two", "new\n"); err == nil || got != page {
		t.Errorf("%q, %v", got, err)
	}
}
