package main

import (
	"context"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// interval is the time between two requests.
	interval = 250 * time.Millisecond
	// patience is the time limit of an answer. Visitors of an emulated machine need
	// more of it.
	patience = 5 * time.Second
)

// poller requests the page from outside of the machine, repeatedly. A request without
// an answer does not delay the next one.
type poller struct {
	began  time.Time
	client http.Client
	stop   context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	samples []Sample
}

// poll begins to request the page at a URL.
func poll(url string) *poller {
	ctx, stop := context.WithCancel(context.Background())
	p := &poller{
		began: time.Now(), stop: stop,
		// Each request has a connection of its own, like that of a new visitor.
		client: http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}},
	}
	p.ended.Add(1)
	go func() {
		defer p.ended.Done()
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			p.ended.Add(1)
			go p.request(url)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return p
}

// now returns the time since the beginning of the polling.
func (p *poller) now() time.Duration { return time.Since(p.began) }

// end stops the requests, waits for the outstanding answers, and returns all samples in
// the order of the requests.
func (p *poller) end() []Sample {
	p.stop()
	p.ended.Wait()
	slices.SortFunc(p.samples, func(a, b Sample) int { return int(a.Start - b.Start) })
	return p.samples
}

func (p *poller) request(url string) {
	defer p.ended.Done()
	start := p.now()
	good := false
	if answer, err := p.client.Get(url); err == nil {
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		good = err == nil && answer.StatusCode == http.StatusOK && strings.Contains(string(body), row)
	}
	sample := Sample{Start: start, Took: p.now() - start, Good: good}
	p.mu.Lock()
	p.samples = append(p.samples, sample)
	p.mu.Unlock()
}
