package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestResultsAfterPowerCut(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.jsonl")
	if list, err := readResults[Result](file); len(list) != 0 || err != nil {
		t.Fatalf("%v, %v", list, err)
	}
	first, second := Result{Workload: "release", Wall: 1.5}, Result{Workload: "rebuild", Changes: Changes{Upgraded: 3}}
	if err := appendResult(file, first); err != nil {
		t.Fatal(err)
	}
	// As after a power cut in the middle of a line.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = f.WriteString(`{"workload":"secu`)
		f.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := appendResult(file, second); err != nil {
		t.Fatal(err)
	}
	list, err := readResults[Result](file)
	if want := []Result{first, second}; err != nil || !slices.Equal(list, want) {
		t.Errorf("%v, %v; want %v", list, err, want)
	}
}

func TestCounted(t *testing.T) {
	run := func(setup string, round int, wall float64, failed string) Result {
		return Result{Workload: "release", Variant: "default", Setup: setup, Round: round, Wall: wall, Failed: failed}
	}
	list := counted([]Result{
		run("old", 0, 1, ""), run("new", 0, 2, ""), run("new", 1, 3, "broken"), run("new", 1, 4, ""), run("new", 0, 5, ""),
		{Workload: "security", Variant: "default", Setup: "old", Wall: 6},
	})
	var walls []float64
	for _, r := range list {
		walls = append(walls, r.Wall)
	}
	if want := []float64{5, 4, 6}; !slices.Equal(walls, want) {
		t.Errorf("%v, want %v", walls, want)
	}
}

func TestJobsAlternateVariants(t *testing.T) {
	a, b := Variant{Key: "a"}, Variant{Key: "b"}
	var order string
	for _, j := range jobs(workloads()[:2], []Variant{a, b}, 2) {
		order += j.Variant.Key
	}
	if order != "abababab" {
		t.Error(order)
	}
}

func TestParseVariant(t *testing.T) {
	v, err := parseVariant("quick=-o Apt-Be::Speed::Dedupe=false")
	if err != nil || v.Key != "quick" || v.Kind != KindBE || !slices.Equal(v.Options, []string{"-o", "Apt-Be::Speed::Dedupe=false"}) {
		t.Errorf("%+v, %v", v, err)
	}
	if got := v.command(); got[len(got)-1] != "dist-upgrade" || !slices.Contains(got, "Apt-Be::Speed::Dedupe=false") {
		t.Errorf("%q", got)
	}
	for _, text := range []string{"stock", "without-Dedupe", "only-No-Sync"} {
		if v, err := parseVariant(text); err != nil || v.Key != text {
			t.Errorf("%s: %+v, %v", text, v, err)
		}
	}
	for _, text := range []string{"", "fast", "=-o x", "a/b=-o x"} {
		if v, err := parseVariant(text); err == nil {
			t.Errorf("%q is %+v", text, v)
		}
	}
}
