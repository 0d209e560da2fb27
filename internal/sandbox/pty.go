package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pty is the terminal of a sandbox's command: pty(7).
type pty struct {
	master, slave *os.File
	number        int
}

// openPTY opens a pair in a devpts file system, and makes the slave the controlling
// terminal of this process, which leads its session, and of what it starts.
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

// name is the slave's inside.
func (p *pty) name() string { return fmt.Sprintf("/dev/pts/%d", p.number) }
