// Package dedupe shares the extents of files that an upgrade wrote again
// unchanged. dpkg writes every file of a package, although most have the same
// bytes as before; on btrfs each of them takes new space beside the one in the
// snapshot. FIDEDUPERANGE (ioctl_fideduperange(2), Linux 4.5) takes it back: the
// kernel locks both files, compares them byte by byte, and lets the new one
// refer to the extents of the old. Owner, mode, times and attributes of the
// new file stay. So a wrong candidate costs time and never content, and both
// trees may be in use.
//
// Scripts of packages wrote these trees: no symbolic link in them is followed
// (openat2(2), Linux 5.6), and nothing is opened that would wait.
package dedupe

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Options say how a pass runs.
type Options struct {
	// Workers is how many files are compared at a time; 0 is one for each
	// processor.
	Workers int
	// Progress is told how many of the candidates are done, never by two
	// goroutines at once. It may be nil.
	Progress func(done, total int)
	// Parts are places, with a leading slash, of subvolumes below both directories
	// that are looked at as well.
	Parts []string
}

// Count is a number of files and of bytes in them, by their sizes and not by
// what they take on disk.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (c *Count) add(bytes int64) {
	c.Files++
	c.Bytes += bytes
}

// Report is what became of the candidates: each is counted once below Shared,
// Already, Differing, NoCOW, Inline, Changed, Unsupported and Failed.
type Report struct {
	// Candidates are files that could have been written again unchanged.
	Candidates Count `json:"candidates"`
	// Shared are files that have their extents in common with the base now.
	// Bytes are also those of the beginnings of files that differ farther on.
	Shared Count `json:"shared"`
	// Already are files that had them in common before.
	Already Count `json:"already"`
	// Differing are files whose content is not that of the base.
	Differing Count `json:"differing"`
	// NoCOW are files of which one side is written in place (chattr +C): the
	// kernel shares those with others of their kind alone.
	NoCOW Count `json:"nocow"`
	// Inline are files that are stored with their metadata.
	Inline Count `json:"inline"`
	// Changed are files that were replaced or resized during the pass.
	Changed Count `json:"changed"`
	// Unsupported are files for which the file system can't do it at all.
	Unsupported Count `json:"unsupported"`
	// Failed are files with which something else was wrong.
	Failed Count `json:"failed"`
	// Failure is what was wrong with the first of those.
	Failure string `json:"failure,omitempty"`
	// Compressed are those of the candidates, whatever became of them, that
	// were stored compressed. Shared ones are stored as in the base now.
	Compressed Count `json:"compressed"`
}

// Run shares the files below directory root with those below directory base,
// of which root was a snapshot once. It stays in the two subvolumes, but for the
// parts that it is told of. An error
// says that there was no pass, or that it was cut off (ctx): the report tells
// how far it came. What is wrong with single files is in the report alone.
func Run(ctx context.Context, base, root string, o Options) (Report, error) {
	report, err := run(ctx, base, root, o)
	for _, part := range o.Parts {
		if err != nil {
			return report, err
		}
		if _, none := os.Lstat(base + part); none != nil {
			continue // it became a part since
		}
		var more Report
		more, err = run(ctx, base+part, root+part, o)
		report.join(more)
	}
	return report, err
}

// join adds what became of the candidates of another part.
func (r *Report) join(more Report) {
	for _, count := range [][2]*Count{
		{&r.Candidates, &more.Candidates}, {&r.Shared, &more.Shared}, {&r.Already, &more.Already}, {&r.Differing, &more.Differing},
		{&r.NoCOW, &more.NoCOW}, {&r.Inline, &more.Inline}, {&r.Changed, &more.Changed}, {&r.Unsupported, &more.Unsupported},
		{&r.Failed, &more.Failed}, {&r.Compressed, &more.Compressed},
	} {
		count[0].Files += count[1].Files
		count[0].Bytes += count[1].Bytes
	}
	if r.Failure == "" {
		r.Failure = more.Failure
	}
}

func run(ctx context.Context, base, root string, o Options) (Report, error) {
	t, err := openTrees(base, root)
	if err != nil {
		return Report{}, fmt.Errorf("cannot look for files to share: %w", err)
	}
	defer t.close()
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	candidates, err := t.candidates(ctx, workers)
	if err != nil {
		return Report{}, fmt.Errorf("cannot look for files to share: %w", err)
	}
	p := pass{trees: t, kernel: linux{}}
	return p.run(ctx, candidates, workers, o.Progress)
}

// pass shares the candidates of two trees.
type pass struct {
	trees  *trees
	kernel kernel
}

// run shares candidates in a pool of workers. Each takes the next one by
// itself: to be handed one costs more than to share it.
func (p *pass) run(ctx context.Context, candidates []candidate, workers int, progress func(done, total int)) (Report, error) {
	var (
		next   atomic.Int64
		mu     sync.Mutex // for what follows
		report Report
		done   int
		pool   sync.WaitGroup
	)
	for range workers {
		pool.Add(1)
		go func() {
			defer pool.Done()
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(len(candidates)) {
					return
				}
				r := p.reflink(ctx, candidates[i])
				if r.err != nil && ctx.Err() != nil {
					return // stopped in the middle of it
				}
				mu.Lock()
				report.add(r)
				done++
				if progress != nil {
					progress(done, len(candidates))
				}
				mu.Unlock()
			}
		}()
	}
	pool.Wait()
	if err := ctx.Err(); err != nil {
		return report, fmt.Errorf("cannot share all files: %w", err)
	}
	return report, nil
}
