package main

import (
	"testing"
	"time"
)

// examples returns plausible measurements.
func examples() []Way {
	during := Phase{Length: 400 * time.Second, Slowest: 1200 * time.Millisecond}
	return []Way{
		{
			Name:    "in place",
			Upgrade: Phase{Length: 300 * time.Second, Outages: []Span{seconds(100, 104), seconds(200, 212)}, Slowest: 3 * time.Second},
			Mixed:   seconds(20, 290), Stale: 12, Processes: 20,
		},
		{
			Name: "reboot", Upgrade: during,
			Switch: Phase{Length: 80 * time.Second, Outages: []Span{seconds(2, 60)}}, Processes: 21,
		},
	}
}

func TestTable(t *testing.T) {
	const want = `| way      | upgrade | outage, upgrading | outage, switching | longest outage | slowest answer, upgrading | old and new mixed | on old files after it |
|----------|---------|-------------------|-------------------|----------------|---------------------------|-------------------|-----------------------|
| in place | 300 s   | 16 s              | 0 s               | 12 s           | 3.0 s                     | 270 s             | 12 of 20 processes    |
| reboot   | 400 s   | 0 s               | 58 s              | 58 s           | 1.2 s                     | 0 s               | 0 of 21 processes     |
`
	if got := table(examples()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInsert(t *testing.T) {
	got, err := insert("a\n<!-- table -->\nold\n<!-- end of table -->\nb\n", "new\n")
	if want := "a\n<!-- table -->\n\nnew\n\n<!-- end of table -->\nb\n"; got != want || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := insert("<!-- end of table -->\n<!-- table -->\n", "new\n"); err == nil {
		t.Error("a page without a place has one")
	}
}
