package main

import "time"

// Sample is one request for the page. Times are since the beginning of the polling.
type Sample struct {
	Start time.Duration // the time of the request
	Took  time.Duration // the time until the answer or the failure
	Good  bool          // the answer contained the row
}

// Span is a period.
type Span struct{ From, To time.Duration }

// Length returns the length of the period.
func (s Span) Length() time.Duration { return s.To - s.From }

// outages returns the periods without an answer. Samples are in the order of their
// start. An outage begins with the first failed request and ends with the next
// successful one. Without a successful one it ends with the last request, and ended is
// false.
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

// slowest returns the longest time of a successful answer.
func slowest(samples []Sample) time.Duration {
	var longest time.Duration
	for _, s := range samples {
		if s.Good {
			longest = max(longest, s.Took)
		}
	}
	return longest
}

// within returns the samples of the requests in a period, with times since its start.
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

// total returns the sum of the lengths of periods.
func total(spans []Span) time.Duration {
	var sum time.Duration
	for _, s := range spans {
		sum += s.Length()
	}
	return sum
}

// longest returns the length of the longest period.
func longest(spans []Span) time.Duration {
	var most time.Duration
	for _, s := range spans {
		most = max(most, s.Length())
	}
	return most
}
