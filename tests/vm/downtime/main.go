// Downtime measures what it costs to upgrade a web server, in place and with
// apt-be: how long its visitors get no answer, and for how long it runs a mix of
// old and new packages.
//
//	go run ./tests/vm/downtime
//
// It prints a table, puts that into docs/downtime.md, and draws docs/downtime.svg.
// It needs root and what all of tests/vm needs, and takes half an hour if
// nothing else runs. What it does goes to standard error.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

func main() {
	if len(os.Args) > 1 {
		fmt.Fprintln(os.Stderr, "usage: downtime")
		os.Exit(2)
	}
	t := &guest.Session{}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		<-interrupts
		t.Fatalf("interrupted")
	}()
	if os.Geteuid() != 0 {
		t.Fatalf("cannot make disks: not root")
	}
	report(t, measure(t))
	t.End(0)
}

// measure runs all ways.
func measure(t guest.T) []Way {
	img, next := server(t)
	ways := []Way{inPlace(t, img, next)}
	r := redirect(t, img, next)
	for _, m := range methods() {
		ways = append(ways, r.enter(t, m))
	}
	return ways
}

// report prints the table, and writes the table and the plot to docs.
func report(t guest.T, ways []Way) {
	figures := table(ways)
	fmt.Print(figures)
	_, file, _, _ := runtime.Caller(0)
	page := filepath.Join(filepath.Dir(file), "../../../docs/downtime.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("%v", err)
	}
	written, err := insert(string(text), figures)
	if err == nil {
		err = os.WriteFile(page, []byte(written), 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(filepath.Dir(page), "downtime.svg"), []byte(plot(ways)), 0o644)
	}
	if err != nil {
		t.Fatalf("cannot write the report: %v", err)
	}
}
