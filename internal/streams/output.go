package streams

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// output copies the command's output.
type output struct {
	pipe *os.File
	from int
	to   int
	name string
	done chan struct{}
	err  error // valid after done is closed

	copied  atomic.Int64 // the number of bytes
	writing atomic.Bool  // read data is not written yet
}

// copyOutput makes the command write through a pipe.
func (s *Streams) copyOutput(i, fd int) error {
	ends, err := s.pipe()
	if err != nil {
		return err
	}
	s.files[i] = ends[1]
	s.child = append(s.child, ends[1])
	o := &output{pipe: ends[0], to: fd, name: name(fd, s.given[i]), done: make(chan struct{})}
	s.mine = append(s.mine, ends[0])
	if o.from, err = descriptor(ends[0]); err != nil {
		return err
	}
	s.outputs = append(s.outputs, o)
	return nil
}

// run copies until no writer exists.
func (o *output) run() {
	defer close(o.done)
	buffer := make([]byte, 64<<10)
	for {
		n, err := unix.Read(o.from, buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		o.writing.Store(true)
		err = o.put(buffer[:n])
		o.copied.Add(int64(n))
		o.writing.Store(false)
		if err != nil {
			o.err = fmt.Errorf("cannot write to %s what the command printed: %w", o.name, err)
			// The command must notice it, as without the pipe.
			_ = o.pipe.Close()
			return
		}
	}
}

func (o *output) put(data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(o.to, data)
		switch {
		case n > 0:
			data = data[n:]
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN): // another process made it non-blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(o.to), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return err
		default:
			return unix.EIO
		}
	}
	return nil
}

// silence is the time without output after which the output of a finished command
// counts as complete: a process outside may hold the other end of the pipe.
const silence = 2 * time.Second

// finish waits until all output is written.
func (o *output) finish() error {
	for {
		before := o.copied.Load()
		select {
		case <-o.done:
			return o.err
		case <-time.After(silence):
		}
		if left, err := unix.IoctlGetInt(o.from, unix.TIOCINQ); err == nil && left == 0 && before == o.copied.Load() && !o.writing.Load() {
			return nil
		}
	}
}
