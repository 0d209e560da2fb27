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
	// interval is between two requests.
	interval = 250 * time.Millisecond
	// patience is how long an answer may take: as long as it takes a visitor of
	// an emulated machine to give up.
	patience = 5 * time.Second
)

// poller asks for the page from outside the machine, again and again. A
// request that gets no answer does not keep the next one waiting.
type poller struct {
	began  time.Time
	client http.Client
	stop   context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	samples []Sample
}

// poll begins to ask for the page at a URL.
func poll(url string) *poller {
	ctx, stop := context.WithCancel(context.Background())
	p := &poller{
		began: time.Now(), stop: stop,
		// Each request is that of another visitor.
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

// now is the present time as samples have it.
func (p *poller) now() time.Duration { return time.Since(p.began) }

// end stops asking, waits for the answers that are due, and returns all samples
// in the order in which requests were sent.
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
