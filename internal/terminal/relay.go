package terminal

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// lookAgain is how often one in the background looks whether it still is: a
	// shell need not tell a job that runs that it is in the foreground now.
	lookAgain = 250 * time.Millisecond
	// silence is how long nothing may come after the end before it is taken for all:
	// somebody outside may have got hold of the other terminal.
	silence = 2 * time.Second
	// endAgain is how often one who reads a terminal that has gone is told so.
	endAgain = time.Second
	// openAgain is how long a terminal that nobody has open is left alone.
	openAgain = 50 * time.Millisecond
	// patience is how long a stop waits for the user's terminal to take what the
	// command wrote before, and a signal for the one before to be asked for.
	patience = time.Second
)

// run relays until Finish.
func (r *Relay) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// After a look and before a read the foreground may become the background.
	// Then the read fails, instead of stopping this process.
	var before unix.Sigset_t
	blocked := setOf(unix.SIGTTIN)
	if unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &before) == nil {
		defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	}
	r.user.look()
	r.err = r.relay()
	r.user.release()
	close(r.done)
}

// setOf returns a set of one signal.
func setOf(sig syscall.Signal) (set unix.Sigset_t) {
	bits := 8 * int(unsafe.Sizeof(set.Val[0]))
	set.Val[(int(sig)-1)/bits] |= 1 << ((int(sig) - 1) % bits)
	return set
}

func (r *Relay) relay() error {
	finish := false
	var closed time.Time // when nobody had the other terminal open
	for {
		ready, err := r.wait(finish, closed)
		if err != nil {
			return err
		}
		if ready.waker {
			r.sleep()
		}
		if finish && ready.none && len(r.output) == 0 {
			return nil
		}
		if ready.waker || ready.none {
			if r.goesOn.Swap(false) { // a shell may have set up the terminal meanwhile
				r.user.ours = false
			}
			if r.user.idle && r.user.isWanted() {
				r.take()
			}
			r.user.look()
			if ready.none && r.user.tty < 0 && len(r.input) == 0 {
				r.endInput()
			}
		}
		if ready.waker {
			select {
			case what := <-r.requests:
				if what.suspend != 0 {
					r.suspend(what.suspend)
				} else {
					finish = true
					r.openOnce()
				}
				close(what.done)
			default:
			}
		}
		if ready.user {
			r.readUser()
		}
		if ready.taker {
			r.writeMaster()
		}
		if ready.out {
			r.writeOut()
		}
		if len(r.output) > 0 || !ready.master && !finish && closed.IsZero() {
			continue
		}
		open := r.readMaster()
		switch {
		case open:
			closed = time.Time{}
		case finish:
			return nil
		default:
			closed = time.Now()
		}
	}
}

// ready says what there is to do.
type ready struct {
	waker, user, out bool
	master, taker    bool // master has something, or takes something
	none             bool // but time has passed
}

// wait waits until there is something to do.
func (r *Relay) wait(finish bool, closed time.Time) (ready, error) {
	timeout := -1
	within := func(d time.Duration) {
		if ms := int(d.Milliseconds()); timeout < 0 || ms < timeout {
			timeout = ms
		}
	}
	fds := []unix.PollFd{
		{Fd: int32(r.waker), Events: unix.POLLIN},
		// poll(2) leaves out what is negative. It tells of what has ended even if
		// nobody asks, again and again.
		{Fd: -1, Events: unix.POLLIN},
		{Fd: -1},
		{Fd: -1, Events: unix.POLLOUT},
	}
	if r.user.foreground && len(r.input) == 0 && !finish {
		fds[1].Fd = int32(r.user.tty)
	}
	if r.user.tty >= 0 && (!r.user.foreground || r.user.foreign) && !finish {
		within(lookAgain)
	}
	if r.user.tty < 0 && !finish {
		within(endAgain)
	}
	if finish {
		within(silence)
	}
	if !closed.IsZero() {
		within(openAgain)
	} else {
		if len(r.output) == 0 {
			fds[2].Events |= unix.POLLIN
		}
		if len(r.input) > 0 {
			fds[2].Events |= unix.POLLOUT
		}
		if fds[2].Events != 0 {
			fds[2].Fd = int32(r.master)
		}
	}
	if len(r.output) > 0 {
		fds[3].Fd = int32(r.out)
	}
	n, err := unix.Poll(fds, timeout)
	if err != nil {
		if errors.Is(err, unix.EINTR) {
			return ready{}, nil
		}
		return ready{}, fmt.Errorf("cannot wait for the terminal: %w", err)
	}
	const ended = unix.POLLHUP | unix.POLLERR | unix.POLLNVAL
	is := func(i int, events int16) bool { return fds[i].Revents&(events|ended) != 0 }
	return ready{
		waker:  is(0, unix.POLLIN),
		user:   is(1, unix.POLLIN),
		master: is(2, unix.POLLIN),
		taker:  len(r.input) > 0 && is(2, unix.POLLOUT),
		out:    is(3, unix.POLLOUT),
		none:   n == 0,
	}, nil
}

// sleep makes the next wake be noticed.
func (r *Relay) sleep() {
	var count [8]byte
	_, _ = unix.Read(r.waker, count[:])
}

// readUser reads what the user typed.
func (r *Relay) readUser() {
	r.user.look()
	if !r.user.foreground {
		return
	}
	buffer := make([]byte, 1024)
	n, err := unix.Read(r.user.tty, buffer)
	switch {
	case n > 0:
		r.input = buffer[:n]
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
	case err != nil:
		// In the background, or gone: the first shows.
		if r.user.look(); r.user.foreground {
			r.user.gone()
		}
	case r.hungUp():
		r.user.gone()
	}
}

// hungUp says whether there will be nothing to read any more.
func (r *Relay) hungUp() bool {
	fds := []unix.PollFd{{Fd: int32(r.user.tty)}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents != 0
}

// writeMaster types what the user typed, as far as the other terminal takes it.
func (r *Relay) writeMaster() {
	for len(r.input) > 0 {
		settings, err := getSettings(r.master)
		if err != nil {
			r.input = nil
			return
		}
		n, sig, quoted := next(r.input, settings, r.quoted)
		written, err := unix.Write(r.master, r.input[:n])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			return
		}
		if err != nil { // nobody is there to read it
			r.input = nil
			return
		}
		if written < n {
			_, _, r.quoted = next(r.input[:written], settings, r.quoted)
			r.input = r.input[written:]
			return
		}
		r.quoted = quoted
		r.input = r.input[n:]
		if sig != 0 && !r.user.foreign {
			r.signalGroup(sig)
		}
	}
}

// endInput tells one who reads that there is no more: he would wait for ever,
// with all locks. It cannot be seen whether there is one.
func (r *Relay) endInput() {
	settings, err := getSettings(r.master)
	if err == nil && settings.Lflag&unix.ICANON != 0 && settings.Cc[unix.VEOF] != 0 {
		r.input = []byte{settings.Cc[unix.VEOF]}
	}
}

// next returns how much of input the terminal with those settings takes until,
// by the last character, it sends a signal, and which one: 0 if all of input is
// none. quoted says whether the first character means itself, and then the one
// after those that were taken.
func next(input []byte, settings *unix.Termios, quoted bool) (n int, sig syscall.Signal, last bool) {
	is := func(c byte, index int) bool { return c != 0 && c == settings.Cc[index] } // 0: there is none
	for i, c := range input {
		if settings.Iflag&unix.ISTRIP != 0 {
			c &= 0x7f
		}
		switch {
		case quoted:
			quoted = false
		case settings.Lflag&unix.ISIG != 0 && is(c, unix.VINTR):
			return i + 1, unix.SIGINT, false
		case settings.Lflag&unix.ISIG != 0 && is(c, unix.VQUIT):
			return i + 1, unix.SIGQUIT, false
		case settings.Lflag&unix.ICANON != 0 && settings.Lflag&unix.IEXTEN != 0 && is(c, unix.VLNEXT):
			quoted = true
		}
	}
	return len(input), 0, quoted
}

// readMaster reads what the command wrote, and says whether somebody has the
// terminal open.
func (r *Relay) readMaster() bool {
	for {
		n, err := unix.Read(r.master, r.buffer)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return true
		case err != nil || n == 0:
			return false
		default:
			r.output = r.buffer[:n]
			return true
		}
	}
}

// openOnce opens the other terminal and closes it. If nobody ever has done that,
// as the command could not be started, master would not say that it is closed.
func (r *Relay) openOnce() {
	if unix.IoctlSetPointerInt(r.master, unix.TIOCSPTLCK, 0) != nil {
		return
	}
	fd, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(r.master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err == 0 {
		_ = unix.Close(int(fd))
	}
}

// writeOut writes what the command wrote, as far as the user's terminal takes it.
// What cannot be written is dropped: the command is to go on.
func (r *Relay) writeOut() {
	n, err := unix.Write(r.out, r.output)
	switch {
	case n > 0:
		r.output = r.output[n:]
	case errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN):
	default:
		r.output = nil
	}
}

// take begins to use the user's terminal, as the command wants its own.
func (r *Relay) take() {
	first := r.user.idle
	r.user.idle = false
	before, err := unix.IoctlGetInt(r.master, unix.TIOCGPGRP)
	r.wanted()
	if !first || err != nil {
		return
	}
	// Ctrl-C is for the command, not for who was in the foreground before.
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, err := unix.IoctlGetInt(r.master, unix.TIOCGPGRP); err != nil || now != before {
			return
		}
	}
}

// suspend is Suspend.
func (r *Relay) suspend(sig syscall.Signal) {
	if r.wanted != nil && (sig == unix.SIGTTIN || sig == unix.SIGTTOU) {
		r.take()
		if r.user.look(); r.user.foreground || r.user.tty < 0 {
			return
		}
	}
	for end := time.Now().Add(patience); ; {
		if len(r.output) == 0 && (!r.readMaster() || len(r.output) == 0) {
			break
		}
		left := time.Until(end)
		if left <= 0 {
			break
		}
		fds := []unix.PollFd{{Fd: int32(r.out), Events: unix.POLLOUT}}
		if n, _ := unix.Poll(fds, int(left.Milliseconds())+1); n > 0 {
			r.writeOut()
		}
	}
	r.user.release()
	stop(sig)
	r.user.look()
}
