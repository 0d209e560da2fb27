package streams

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// output copies what the command writes.
type output struct {
	pipe *os.File
	from int
	to   int
	name string
	done chan struct{}
	err  error // for those who have seen done closed
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

// run copies until nobody can write any more.
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
		if err := o.put(buffer[:n]); err != nil {
			o.err = fmt.Errorf("cannot write to %s what the command printed: %w", o.name, err)
			// The command is to notice, as it would without the pipe.
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
		case errors.Is(err, unix.EAGAIN): // somebody made it not blocking
			_, _ = unix.Poll([]unix.PollFd{{Fd: int32(o.to), Events: unix.POLLOUT}}, -1)
		case err != nil:
			return err
		default:
			return unix.EIO
		}
	}
	return nil
}

// finish waits until all is written.
func (o *output) finish() error {
	<-o.done
	return o.err
}
