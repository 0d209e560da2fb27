package streams

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// input copies the command's input. At the end, the unread part in the pipe is given
// back if possible: this process reads a file with pread(2), and copies a named pipe
// with tee(2), so other readers notice nothing. At the end it moves both to the place
// that the command has reached.
type input struct {
	from  int
	read  int // the pipe, for the command
	write int // the pipe, for this process; -1: closed, at the end of the input
	waker int // an eventfd(2)
	done  chan struct{}

	file       bool
	start, end int64 // of a file: the copied range
	fifo       bool
	flight     int // of a named pipe: the number of bytes in the pipe or taken from it
}

// copyInput makes the command read through a pipe.
func (s *Streams) copyInput(fd int, stat *unix.Stat_t) error {
	ends, err := s.pipe()
	if err != nil {
		return err
	}
	// This process also keeps the reading end, to ask for the number of unread bytes.
	s.files[0] = ends[0]
	s.mine = append(s.mine, ends[0])
	defer ends[1].Close()
	i := &input{from: fd, write: -1, waker: -1, done: make(chan struct{})}
	s.input = i
	if i.read, err = descriptor(ends[0]); err != nil {
		return err
	}
	write, err := descriptor(ends[1])
	if err != nil {
		return err
	}
	// os does not know this descriptor, because it is closed at the end of the file.
	if i.write, err = unix.FcntlInt(uintptr(write), unix.F_DUPFD_CLOEXEC, 3); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if err := unix.SetNonblock(i.write, true); err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	if i.waker, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	switch kind := stat.Mode & unix.S_IFMT; kind {
	case unix.S_IFREG, unix.S_IFBLK:
		i.start, err = unix.Seek(fd, 0, unix.SEEK_CUR)
		i.file, i.end = err == nil, i.start
	case unix.S_IFIFO:
		// The pipe holds one piece, so it has room again as soon as the piece is read.
		_, err := unix.FcntlInt(uintptr(i.write), unix.F_SETPIPE_SZ, 1)
		i.fifo = err == nil
	}
	return nil
}

// run copies until the end of the input, or until finish.
func (i *input) run() {
	defer close(i.done)
	piece := i.readPiece
	switch {
	case i.file:
		piece = i.filePiece
	case i.fifo:
		piece = i.fifoPiece
	}
	for i.wait(i.from, unix.POLLIN) {
		if !piece() {
			return
		}
	}
}

// ended tells the command that the input has ended.
func (i *input) ended() bool {
	_ = unix.Close(i.write)
	i.write = -1
	return false
}

func (i *input) filePiece() bool {
	buffer := make([]byte, 64<<10)
	n, err := unix.Pread(i.from, buffer, i.end)
	if errors.Is(err, unix.EINTR) {
		return true
	}
	if err != nil || n <= 0 {
		return i.ended()
	}
	written, ok := i.put(buffer[:n])
	i.end += int64(written)
	return ok
}

func (i *input) fifoPiece() bool {
	n, err := unix.Tee(i.from, i.write, 64<<10, unix.SPLICE_F_NONBLOCK)
	switch {
	case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
		return true
	case err != nil || n == 0: // no writer exists
		return i.ended()
	}
	i.flight = int(n)
	if !i.wait(i.write, unix.POLLOUT) {
		return false
	}
	i.take(i.flight)
	i.flight = 0
	return true
}

// take removes from the named pipe the part that the command has read.
func (i *input) take(n int) {
	null, err := unix.Open("/dev/null", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(null)
	for n > 0 {
		taken, err := unix.Splice(i.from, nil, null, nil, n, unix.SPLICE_F_NONBLOCK)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || taken <= 0 {
			return
		}
		n -= int(taken)
	}
}

// readPiece copies input that can only be read.
func (i *input) readPiece() bool {
	buffer := make([]byte, 4<<10)
	n, err := unix.Read(i.from, buffer)
	if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
		return true
	}
	if err != nil || n <= 0 { // for example a directory
		return i.ended()
	}
	_, ok := i.put(buffer[:n])
	return ok
}

// put writes to the command, and reports whether it has written all of the data.
func (i *input) put(data []byte) (written int, ok bool) {
	for written < len(data) {
		if !i.wait(i.write, unix.POLLOUT) {
			return written, false
		}
		n, err := unix.Write(i.write, data[written:])
		if n > 0 {
			written += n
			continue
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return written, false
		}
	}
	return written, true
}

// wait waits until a descriptor is ready. It reports false if finish was called first.
func (i *input) wait(fd int, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(i.waker), Events: unix.POLLIN}, {Fd: int32(fd), Events: events}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || fds[0].Revents != 0:
			return false
		case fds[1].Revents != 0:
			return true
		}
	}
}

// stuck is the time to wait after another reader took the input between poll(2) and
// read(2).
const stuck = time.Second

// finish ends the copying, and gives the unread input back. It reports false if the
// copying has not ended: then its descriptors must stay open.
func (i *input) finish() bool {
	_, _ = unix.Write(i.waker, []byte{1, 0, 0, 0, 0, 0, 0, 1}) // not 0 in either byte order
	select {
	case <-i.done:
	case <-time.After(stuck):
		return false
	}
	if left, err := unix.IoctlGetInt(i.read, unix.TIOCINQ); err == nil {
		switch { // the command can write to its pipe (/proc/self/fd/0), so left may exceed the copied input
		case i.file:
			// Another reader may have moved the offset.
			if now, err := unix.Seek(i.from, 0, unix.SEEK_CUR); err == nil && now == i.start {
				_, _ = unix.Seek(i.from, max(i.start, i.end-int64(left)), unix.SEEK_SET)
			}
		case i.fifo:
			i.take(i.flight - left)
		}
	}
	return true
}

func (i *input) close() {
	for _, fd := range []int{i.write, i.waker} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}
