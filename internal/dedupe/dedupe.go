// Package dedupe shares the extents of files that an upgrade wrote again unchanged.
// dpkg writes every file of a package, although most have the same content as before;
// on btrfs each new file takes space in addition to the snapshot's. FIDEDUPERANGE
// (ioctl_fideduperange(2), Linux 4.5) frees this space: the kernel locks both files,
// compares them byte by byte, and makes the new file refer to the extents of the old
// one. Owner, mode, times and attributes of the new file stay. So a wrong candidate
// costs time but never changes content, and both trees may be in use.
//
// Packages' scripts wrote these trees. So the pass follows no symbolic links in them
// (openat2(2), Linux 5.6), and opens no file that would block.
package dedupe

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// Options are the parameters of a pass.
type Options struct {
	// Workers is the number of files to compare in parallel; 0 means the number of
	// processors.
	Workers int
	// Progress, if not nil, is called with the number of finished candidates, from one
	// goroutine at a time.
	Progress func(done, total int)
	// Parts are the places, with a leading slash, of subvolumes below both directories
	// that are included in the pass.
	Parts []string
}

// Count is a number of files and the sum of their sizes. The sizes are not the space on
// the disk.
type Count struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

func (c *Count) add(bytes int64) {
	c.Files++
	c.Bytes += bytes
}

// Report is the result of a pass. Each candidate is counted once in Shared, Already,
// Differing, NoCOW, Inline, Changed, Unsupported or Failed.
type Report struct {
	// Candidates are files that may have been written again unchanged.
	Candidates Count `json:"candidates"`
	// Shared are files whose extents are now shared with the base. Bytes includes the
	// equal beginnings of files that differ later.
	Shared Count `json:"shared"`
	// Already are files whose extents were shared before.
	Already Count `json:"already"`
	// Differing are files with other content than in the base.
	Differing Count `json:"differing"`
	// NoCOW are files of which exactly one side has the attribute NOCOW (chattr +C).
	// The kernel shares extents only between files with the same attribute.
	NoCOW Count `json:"nocow"`
	// Inline are files that are stored in metadata.
	Inline Count `json:"inline"`
	// Changed are files that were replaced or resized during the pass.
	Changed Count `json:"changed"`
	// Unsupported are files that the file system cannot share at all.
	Unsupported Count `json:"unsupported"`
	// Failed are files with any other error.
	Failed Count `json:"failed"`
	// Failure is the first of these errors.
	Failure string `json:"failure,omitempty"`
	// Compressed are the candidates that were stored compressed, whatever their result.
	// Shared files are now stored as in the base.
	Compressed Count `json:"compressed"`
}

// Run shares the files below directory root with the files below directory base, of
// which root was a snapshot. It does not leave the two subvolumes, except for the given
// parts. It returns an error if the pass did not run or was interrupted (ctx); the
// report shows the progress. Errors of single files are only in the report.
func Run(ctx context.Context, base, root string, o Options) (Report, error) {
	report, err := run(ctx, base, root, o)
	for _, part := range o.Parts {
		if err != nil {
			return report, err
		}
		if _, none := os.Lstat(base + part); none != nil {
			continue // the subvolume became a part since
		}
		var more Report
		more, err = run(ctx, base+part, root+part, o)
		report.join(more)
	}
	return report, err
}

// join adds the results of another part.
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
		return Report{}, fmt.Errorf("cannot search for files to share: %w", err)
	}
	defer t.close()
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.NumCPU()
	}
	candidates, err := t.candidates(ctx, workers)
	if err != nil {
		return Report{}, fmt.Errorf("cannot search for files to share: %w", err)
	}
	p := pass{trees: t, kernel: linux{}}
	return p.run(ctx, candidates, workers, o.Progress)
}

// pass shares the candidates of two trees.
type pass struct {
	trees  *trees
	kernel kernel
}

// run shares candidates with a pool of workers. Each worker takes the next candidate
// itself, because a channel would cost more time than sharing.
func (p *pass) run(ctx context.Context, candidates []candidate, workers int, progress func(done, total int)) (Report, error) {
	var (
		next   atomic.Int64
		mu     sync.Mutex // protects the following fields
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
					return // interrupted in the middle of the candidate
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
