package terminal

import (
	"errors"

	"golang.org/x/sys/unix"
)

// user is the user's terminal.
type user struct {
	tty        int // -1: it has gone
	master     int // the terminal that gets its size
	keepOutput bool

	idle       bool          // the relay uses only its size
	foreground bool          // the relay may read it
	ours       bool          // and it has the settings raw
	foreign    bool          // it is not this process's controlling terminal
	saved, raw *unix.Termios // the settings before, and the raw ones made from them
}

// gone records that the terminal has gone. The caller must not use tty afterwards.
func (u *user) gone() {
	if u.tty >= 0 {
		_ = unix.Close(u.tty)
	}
	u.tty, u.foreground, u.ours = -1, false, false
}

// look checks whether this process is in the foreground now, and changes the terminal's
// settings accordingly.
func (u *user) look() {
	if u.tty < 0 {
		return
	}
	pgrp, err := unix.IoctlGetInt(u.tty, unix.TIOCGPGRP)
	switch {
	case errors.Is(err, unix.ENOTTY): // a terminal without process groups has no background
		u.foreign, u.foreground = true, !u.idle
	case err != nil:
		u.gone()
		return
	default:
		u.foreign, u.foreground = false, !u.idle && pgrp == unix.Getpgrp()
	}
	if !u.foreground {
		u.ours = false // the settings of the process in the foreground remain
	} else if !u.ours {
		u.seize()
	}
	u.resize()
}

// isWanted reports whether the command waits for keys without having been stopped,
// while no other program waits for keys on the user's terminal.
func (u *user) isWanted() bool {
	if u.tty < 0 {
		return false
	}
	if pgrp, err := unix.IoctlGetInt(u.tty, unix.TIOCGPGRP); pgrp != unix.Getpgrp() && !errors.Is(err, unix.ENOTTY) {
		return false
	}
	inner, err := getSettings(u.master)
	if err != nil || inner.Lflag&unix.ICANON != 0 {
		return false
	}
	settings, err := getSettings(u.tty)
	return err == nil && settings.Lflag&unix.ICANON != 0
}

// editLines turns on line editing. If a pager has already turned it off, the command
// must not take this for its own setting.
func editLines(fd int) error {
	settings, err := getSettings(fd)
	if err != nil || settings.Lflag&unix.ICANON != 0 {
		return err
	}
	settings.Iflag |= unix.ICRNL | unix.IXON
	settings.Oflag |= unix.OPOST | unix.ONLCR
	settings.Lflag |= unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ISIG | unix.IEXTEN
	return setSettings(fd, settings)
}

// seize sets the terminal to raw mode.
func (u *user) seize() {
	now, err := getSettings(u.tty)
	if err != nil {
		u.gone()
		return
	}
	// A shell restores the settings of a job at its stop, also by SIGSTOP. All other
	// settings are the user's.
	if u.raw == nil || *now != *u.raw {
		u.saved = now
	}
	if setSettings(u.tty, makeRaw(u.saved, u.keepOutput, u.foreign)) != nil {
		return
	}
	if u.raw, err = getSettings(u.tty); err != nil {
		u.gone()
		return
	}
	u.ours = true
}

// release restores the user's settings.
func (u *user) release() {
	if !u.ours {
		return
	}
	u.look() // not in the background
	if !u.ours {
		return
	}
	u.ours = false
	now, err := getSettings(u.tty)
	if err != nil {
		u.gone()
		return
	}
	// A program that has turned on line editing wants its own settings: a pager that
	// has ended restored the settings of its start.
	if now.Lflag&unix.ICANON != 0 && u.raw.Lflag&unix.ICANON == 0 {
		return
	}
	_ = setSettings(u.tty, u.saved)
}

// resize gives the other terminal the size of this one. If the size changed, programs
// there get SIGWINCH.
func (u *user) resize() {
	if u.tty < 0 {
		return
	}
	size, err := unix.IoctlGetWinsize(u.tty, unix.TIOCGWINSZ)
	if err != nil {
		return
	}
	_ = unix.IoctlSetWinsize(u.master, unix.TIOCSWINSZ, size)
}

// makeRaw returns settings that leave everything to another terminal, except for the
// settings of the line, for example a serial one. On a terminal that does not control
// this process, the keys for signals keep their meaning for other processes.
func makeRaw(from *unix.Termios, keepOutput, keepSignals bool) *unix.Termios {
	raw := *from
	raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IUCLC | unix.IXON | unix.IXANY
	raw.Lflag &^= unix.ICANON | unix.ECHO | unix.ECHONL | unix.IEXTEN
	if !keepSignals {
		raw.Lflag &^= unix.ISIG
	}
	if !keepOutput {
		raw.Oflag &^= unix.OPOST
	}
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	return &raw
}

func getSettings(fd int) (*unix.Termios, error) {
	for {
		settings, err := unix.IoctlGetTermios(fd, unix.TCGETS)
		if !errors.Is(err, unix.EINTR) {
			return settings, err
		}
	}
}

func setSettings(fd int, settings *unix.Termios) error {
	for {
		err := unix.IoctlSetTermios(fd, unix.TCSETS, settings)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
