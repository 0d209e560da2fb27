package main

import (
	"slices"
	"testing"
	"time"
)

// samplesOf returns one sample per second: "." is successful, "x" failed.
func samplesOf(picture string) []Sample {
	var samples []Sample
	for i, c := range picture {
		samples = append(samples, Sample{Start: time.Duration(i) * time.Second, Took: time.Second / 10, Good: c == '.'})
	}
	return samples
}

func seconds(from, to int) Span {
	return Span{time.Duration(from) * time.Second, time.Duration(to) * time.Second}
}

func TestOutages(t *testing.T) {
	for _, c := range []struct {
		picture string
		want    []Span
		ended   bool
	}{
		{"", nil, true},
		{"....", nil, true},
		{".x..", []Span{seconds(1, 2)}, true},
		{".xxx..x.", []Span{seconds(1, 4), seconds(6, 7)}, true},
		{"x.", []Span{seconds(0, 1)}, true},
		{"..xx", []Span{seconds(2, 3)}, false},
		{"..x", []Span{seconds(2, 2)}, false},
		{"x.x.xx", []Span{seconds(0, 1), seconds(2, 3), seconds(4, 5)}, false},
	} {
		got, ended := outages(samplesOf(c.picture))
		if !slices.Equal(got, c.want) || ended != c.ended {
			t.Errorf("%q: %v, ended %v; want %v, %v", c.picture, got, ended, c.want, c.ended)
		}
	}
}

func TestWithin(t *testing.T) {
	got := within(samplesOf("..xx.x"), seconds(2, 5))
	want := samplesOf("xx.")
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestTotals(t *testing.T) {
	spans := []Span{seconds(1, 4), seconds(6, 7)}
	if got := total(spans); got != 4*time.Second {
		t.Errorf("total: %v", got)
	}
	if got := longest(spans); got != 3*time.Second {
		t.Errorf("longest: %v", got)
	}
	samples := []Sample{{Took: 3 * time.Second, Good: true}, {Took: 5 * time.Second}, {Took: time.Second, Good: true}}
	if got := slowest(samples); got != 3*time.Second {
		t.Errorf("slowest: %v", got)
	}
}
