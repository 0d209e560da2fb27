package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pty is the terminal of a sandbox's command: pty(7).
type pty struct {
	master, slave *os.File
	number        int
}

// openPTY opens a terminal in a devpts file system, and makes its slave the controlling
// terminal of this process, which leads its session, and of the processes it starts.
func openPTY(devpts string) (*pty, error) {
	fd, err := unix.Open(filepath.Join(devpts, "ptmx"), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	p := &pty{master: os.NewFile(uintptr(fd), "ptmx")}
	if p.number, err = unix.IoctlGetInt(fd, unix.TIOCGPTN); err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	slave := -1
	if err == nil {
		slave, err = unix.Open(filepath.Join(devpts, fmt.Sprint(p.number)), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	}
	if err == nil {
		p.slave = os.NewFile(uintptr(slave), p.name())
		err = unix.IoctlSetInt(slave, unix.TIOCSCTTY, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open a terminal: %w", err)
	}
	return p, nil
}

// foreground moves a process group of this process's session to the foreground.
func (p *pty) foreground(group int) error {
	// A process in the background that does this gets SIGTTOU, unless the signal is
	// blocked.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var blocked, before unix.Sigset_t
	bits := 8 * int(unsafe.Sizeof(blocked.Val[0]))
	blocked.Val[(int(unix.SIGTTOU)-1)/bits] |= 1 << ((int(unix.SIGTTOU) - 1) % bits)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &blocked, &before); err != nil {
		return err
	}
	defer func() { _ = unix.PthreadSigmask(unix.SIG_SETMASK, &before, nil) }()
	return unix.IoctlSetPointerInt(int(p.slave.Fd()), unix.TIOCSPGRP, group)
}

// name returns the path of the slave inside.
func (p *pty) name() string { return fmt.Sprintf("/dev/pts/%d", p.number) }
