package main

import "time"

// Sample is one request for the page. Times are since the polling began.
type Sample struct {
	Start time.Duration // when it was sent
	Took  time.Duration // until the answer was there, or there was none
	Good  bool          // whether the answer had the row
}

// Span is a time from one moment to another.
type Span struct{ From, To time.Duration }

// Length is how long it lasts.
func (s Span) Length() time.Duration { return s.To - s.From }

// outages returns when there was no answer, by samples in the order of their
// start: each from the start of the first request that failed to that of the
// first one after it that was good. The end of one that had none is the start
// of the last request, and ended is false.
func outages(samples []Sample) (spans []Span, ended bool) {
	ended = true
	for _, s := range samples {
		switch {
		case !s.Good && ended:
			spans = append(spans, Span{s.Start, s.Start})
			ended = false
		case !ended:
			spans[len(spans)-1].To = s.Start
			ended = s.Good
		}
	}
	return spans, ended
}

// slowest returns the longest that a good answer took.
func slowest(samples []Sample) time.Duration {
	var longest time.Duration
	for _, s := range samples {
		if s.Good {
			longest = max(longest, s.Took)
		}
	}
	return longest
}

// within returns the samples whose requests were sent in a span, with times
// since its start.
func within(samples []Sample, span Span) []Sample {
	var in []Sample
	for _, s := range samples {
		if s.Start >= span.From && s.Start < span.To {
			s.Start -= span.From
			in = append(in, s)
		}
	}
	return in
}

// total is how long spans last together.
func total(spans []Span) time.Duration {
	var sum time.Duration
	for _, s := range spans {
		sum += s.Length()
	}
	return sum
}

// longest is how long the longest of spans lasts.
func longest(spans []Span) time.Duration {
	var most time.Duration
	for _, s := range spans {
		most = max(most, s.Length())
	}
	return most
}
