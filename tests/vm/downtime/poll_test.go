package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// TestPoll uses a server that loses its row for some time and hangs once.
func TestPoll(t *testing.T) {
	var state atomic.Value
	state.Store(row)
	var requests atomic.Int32
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			<-hang
		}
		fmt.Fprintln(w, state.Load())
	}))
	defer server.Close()
	p := poll(server.URL)
	time.Sleep(4 * interval)
	lost := p.now()
	state.Store("")
	time.Sleep(4 * interval)
	found := p.now()
	state.Store(row)
	time.Sleep(2 * interval)
	close(hang)
	samples := p.end()
	if len(samples) < 8 || samples[0].Took < found {
		t.Fatalf("a request that hangs keeps others waiting: %v", samples)
	}
	spans, ended := outages(samples[1:])
	if len(spans) != 1 || !ended || spans[0].From < lost-interval || spans[0].To < found-interval {
		t.Errorf("outages %v, want one from %v to %v", spans, lost, found)
	}
}
