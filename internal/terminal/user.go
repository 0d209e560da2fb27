package terminal

import (
	"errors"

	"golang.org/x/sys/unix"
)

// user is the terminal that the user sits at.
type user struct {
	tty        int // -1: it went away
	master     int // what is given its size
	keepOutput bool

	idle       bool          // it is left alone, but for its size
	foreground bool          // it may be read
	ours       bool          // and has raw for its settings
	foreign    bool          // it is not the one that controls this process
	saved, raw *unix.Termios // settings: before, and what was made of them
}

// gone notes that the terminal went away. Whoever called it does not use tty any
// more.
func (u *user) gone() {
	if u.tty >= 0 {
		_ = unix.Close(u.tty)
	}
	u.tty, u.foreground, u.ours = -1, false, false
}

// look finds out whether this process is in the foreground by now, and sets up
// the terminal accordingly.
func (u *user) look() {
	if u.tty < 0 {
		return
	}
	pgrp, err := unix.IoctlGetInt(u.tty, unix.TIOCGPGRP)
	switch {
	case errors.Is(err, unix.ENOTTY): // nobody's background
		u.foreign, u.foreground = true, !u.idle
	case err != nil:
		u.gone()
		return
	default:
		u.foreign, u.foreground = false, !u.idle && pgrp == unix.Getpgrp()
	}
	if !u.foreground {
		u.ours = false // but those of whoever is
	} else if !u.ours {
		u.seize()
	}
	u.resize()
}

// isWanted says whether the command waits for keys without a stop, while nobody else
// does so on this terminal.
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

// editLines turns on line editing. If a pager has turned it off already, the command
// is not to find what is meant for the pager.
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

// seize makes the terminal pass on each key as it is.
func (u *user) seize() {
	now, err := getSettings(u.tty)
	if err != nil {
		u.gone()
		return
	}
	// A shell brings a job that goes on the settings back that it was stopped
	// with, be it by SIGSTOP. All others are the user's.
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

// release gives the terminal the user's settings back.
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
	// Who has turned on line editing has set up the terminal for himself: a pager
	// that has ended gave it the settings back that it began with.
	if now.Lflag&unix.ICANON != 0 && u.raw.Lflag&unix.ICANON == 0 {
		return
	}
	_ = setSettings(u.tty, u.saved)
}

// resize gives the other terminal the size that this one has. If that is another
// one than before those there learn of it (SIGWINCH).
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

// makeRaw returns settings that leave all to another terminal, but for what the
// line (a serial one, perhaps) needs. On a terminal that does not control this
// process the keys for signals keep their meaning: they are for others.
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
