package dedupe

// outcome is the result of a candidate.
type outcome int

const (
	failed outcome = iota
	shared
	already
	differing
	noCOW
	inline
	changed
	unsupported
)

// result describes the result of a candidate.
type result struct {
	outcome    outcome
	size       int64 // of the file
	shared     int64 // newly shared bytes
	compressed bool
	err        error // the error of a failed candidate
}

func (r *Report) add(f result) {
	r.Candidates.add(f.size)
	r.Shared.Bytes += f.shared
	if f.compressed {
		r.Compressed.add(f.size)
	}
	switch f.outcome {
	case shared:
		r.Shared.Files++
	case already:
		r.Already.add(f.size)
	case differing:
		r.Differing.add(f.size)
	case noCOW:
		r.NoCOW.add(f.size)
	case inline:
		r.Inline.add(f.size)
	case changed:
		r.Changed.add(f.size)
	case unsupported:
		r.Unsupported.add(f.size)
	case failed:
		r.Failed.add(f.size)
		if r.Failure == "" && f.err != nil {
			r.Failure = f.err.Error()
		}
	}
}
