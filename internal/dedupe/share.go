package dedupe

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// step is the number of bytes to compare in one call. btrfs of old kernels accepts no
// more, and the pass can be interrupted between two calls.
const step = 16 << 20

// errNoProgress reports that the kernel shared nothing and gave no reason.
var errNoProgress = errors.New("the kernel shared nothing")

// reflink shares a candidate with the first of its sources that is equal.
func (p *pass) reflink(ctx context.Context, c candidate) result {
	r := result{outcome: changed, size: c.size}
	dst, err := openFile(p.trees.root, c.path, c.size)
	if err != nil {
		return r.failedBy(c, err)
	}
	defer unix.Close(dst)
	// Some file systems do not report extents; then sharing is tried anyway.
	extents, _ := p.kernel.extents(dst)
	r.compressed = has(extents, extentEncoded)
	if has(extents, extentInline) {
		r.outcome = inline
		return r
	}
	for _, path := range c.sources {
		p.reflinkFrom(ctx, c, path, dst, extents, &r)
		if r.outcome == shared || r.outcome == already || r.shared > 0 {
			break
		}
	}
	return r
}

// reflinkFrom shares an open candidate, which has these extents, with a file of the
// base.
func (p *pass) reflinkFrom(ctx context.Context, c candidate, path string, dst int, extents []extent, r *result) {
	src, err := openFile(p.trees.base, path, c.size)
	if errors.Is(err, errChanged) {
		return // a package's checksums may name a file that does not exist
	}
	if err != nil {
		*r = r.failedBy(c, err)
		return
	}
	defer unix.Close(src)
	if p.sameExtents(src, extents) {
		r.outcome = already
		return
	}
	r.shared, err = reflink(ctx, p.kernel, src, dst, c.size)
	if err == nil {
		r.outcome = shared
		return
	}
	if errors.Is(err, unix.EINVAL) && p.oneIsNoCOW(src, dst) {
		r.outcome = noCOW
		return
	}
	*r = r.failedBy(c, err)
}

// failedBy returns the result for an error.
func (r result) failedBy(c candidate, err error) result {
	switch {
	case errors.Is(err, errDiffers):
		r.outcome = differing
	case errors.Is(err, errChanged):
		r.outcome = changed
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOTTY), errors.Is(err, unix.EXDEV):
		r.outcome = unsupported
	default:
		r.outcome, r.err = failed, fmt.Errorf("cannot share %s: %w", c.path, err)
	}
	return r
}

// reflink shares two files of the same size step by step, up to the first difference,
// and returns the number of shared bytes.
func reflink(ctx context.Context, k kernel, src, dst int, size int64) (int64, error) {
	offset := int64(0)
	for offset < size {
		if err := ctx.Err(); err != nil {
			return offset, err
		}
		k.readAhead(src, offset, min(step, size-offset))
		k.readAhead(dst, offset, min(step, size-offset))
		n, err := k.dedupe(src, dst, offset, min(step, size-offset))
		if err == nil && n <= 0 {
			err = errNoProgress
		}
		if err != nil {
			return offset, err
		}
		offset += n
	}
	return offset, nil
}

// sameExtents reports whether a file has exactly these extents, all of them shared. It
// asks the kernel only if all are shared, because the kernel searches for other
// references of each extent.
func (p *pass) sameExtents(fd int, extents []extent) bool {
	for _, e := range extents {
		if e.flags&extentShared == 0 {
			return false
		}
	}
	if len(extents) == 0 {
		return false
	}
	others, err := p.kernel.extents(fd)
	return err == nil && same(extents, others)
}

// same reports whether two files have the same extents.
func same(a, b []extent) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].logical != b[i].logical || a[i].physical != b[i].physical || a[i].length != b[i].length {
			return false
		}
	}
	return true
}

// has reports whether one of the extents has a flag.
func has(extents []extent, flag uint32) bool {
	for _, e := range extents {
		if e.flags&flag != 0 {
			return true
		}
	}
	return false
}

func (p *pass) oneIsNoCOW(src, dst int) bool {
	a, errA := p.kernel.noCOW(src)
	b, errB := p.kernel.noCOW(dst)
	return errA == nil && errB == nil && (a || b)
}
