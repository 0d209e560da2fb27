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
	// lookAgain is the interval at which a relay in the background checks whether it
	// still is: a shell need not tell a running job that it is in the foreground now.
	lookAgain = 250 * time.Millisecond
	// silence is the time without output after which the output of a finished command
	// counts as complete: a process outside may hold the other terminal.
	silence = 2 * time.Second
	// endAgain is the interval at which a reader of a terminal that has gone is told
	// about it.
	endAgain = time.Second
	// openAgain is the time to wait before the next read of a terminal that no process
	// has open.
	openAgain = 50 * time.Millisecond
	// patience is the limit for two waits: a stop waits until the user's terminal has
	// taken the earlier output, and a signal waits until the one before has been asked
	// for.
	patience = time.Second
)

// run relays until Finish.
func (r *Relay) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Between a check and a read, the foreground may become the background. Then the
	// read fails, instead of stopping this process.
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

// setOf returns a set with one signal.
func setOf(sig syscall.Signal) (set unix.Sigset_t) {
	bits := 8 * int(unsafe.Sizeof(set.Val[0]))
	set.Val[(int(sig)-1)/bits] |= 1 << ((int(sig) - 1) % bits)
	return set
}

func (r *Relay) relay() error {
	finish := false
	var closed time.Time // the time since which no process has the other terminal open
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
			if r.goesOn.Swap(false) { // a shell may have changed the terminal's settings meanwhile
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

// ready has the descriptors that are ready.
type ready struct {
	waker, user, out bool
	master, taker    bool // master is readable; master is writable
	none             bool // none, but time has passed
}

// wait waits until a descriptor is ready.
func (r *Relay) wait(finish bool, closed time.Time) (ready, error) {
	timeout := -1
	within := func(d time.Duration) {
		if ms := int(d.Milliseconds()); timeout < 0 || ms < timeout {
			timeout = ms
		}
	}
	fds := []unix.PollFd{
		{Fd: int32(r.waker), Events: unix.POLLIN},
		// poll(2) skips negative descriptors. It reports a hangup again and again, even
		// without a request.
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

// sleep clears the wake, so that the next one is noticed.
func (r *Relay) sleep() {
	var count [8]byte
	_, _ = unix.Read(r.waker, count[:])
}

// readUser reads the user's input.
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
		// In the background, or gone: look finds out which.
		if r.user.look(); r.user.foreground {
			r.user.gone()
		}
	case r.hungUp():
		r.user.gone()
	}
}

// hungUp reports whether the terminal has hung up, so no more input can come.
func (r *Relay) hungUp() bool {
	fds := []unix.PollFd{{Fd: int32(r.user.tty)}}
	_, err := unix.Poll(fds, 0)
	return err == nil && fds[0].Revents != 0
}

// writeMaster writes the user's input to the other terminal, as much as it takes.
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
		if err != nil { // no process can read it
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

// endInput sends readers an end of file: otherwise they would wait for ever, with all
// locks. The relay cannot see whether there is a reader.
func (r *Relay) endInput() {
	settings, err := getSettings(r.master)
	if err == nil && settings.Lflag&unix.ICANON != 0 && settings.Cc[unix.VEOF] != 0 {
		r.input = []byte{settings.Cc[unix.VEOF]}
	}
}

// next returns the length of the input up to and including the first character for
// which the terminal, with these settings, sends a signal, and that signal. Without
// such a character the signal is 0 and n is the whole length. quoted reports whether
// the first character stands for itself, and is returned for the next call.
func next(input []byte, settings *unix.Termios, quoted bool) (n int, sig syscall.Signal, last bool) {
	is := func(c byte, index int) bool { return c != 0 && c == settings.Cc[index] } // 0 disables the character
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

// readMaster reads the command's output, and reports whether a process has the terminal
// open.
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

// openOnce opens the other terminal and closes it. If no process has ever opened it,
// because the command could not start, master would not report that it is closed.
func (r *Relay) openOnce() {
	if unix.IoctlSetPointerInt(r.master, unix.TIOCSPTLCK, 0) != nil {
		return
	}
	fd, _, err := unix.Syscall(unix.SYS_IOCTL, uintptr(r.master), unix.TIOCGPTPEER, unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	if err == 0 {
		_ = unix.Close(int(fd))
	}
}

// writeOut writes the command's output to the user's terminal, as much as it takes. It
// drops output that cannot be written: the command must continue.
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

// take starts to use the user's terminal, because the command wants its own.
func (r *Relay) take() {
	first := r.user.idle
	r.user.idle = false
	before, err := unix.IoctlGetInt(r.master, unix.TIOCGPGRP)
	r.wanted()
	if !first || err != nil {
		return
	}
	// Ctrl-C is for the command, not for the process that was in the foreground before.
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, err := unix.IoctlGetInt(r.master, unix.TIOCGPGRP); err != nil || now != before {
			return
		}
	}
}

// suspend does the work of Suspend.
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
