// Package streams prepares the descriptors 0, 1 and 2 of a command in the sandbox. A
// descriptor of a file of the running system would be a way out: a script can reopen
// /proc/self/fd/1 for reading and writing, make the file setuid (fchmod), or open files
// below a directory (openat).
package streams

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// Kind is the kind of a descriptor for the command.
type Kind string

const (
	// Inherited is a pipe without a name, or a connected local socket. The command gets
	// the user's own, or, in place of a file, a pipe that this process copies from or
	// to. Through neither can the command open another file.
	Inherited Kind = "inherited"
	// Terminal is the sandbox's own terminal.
	Terminal Kind = "terminal"
	// Device is one of the sandbox's own devices.
	Device Kind = "device"
)

// Stream describes a descriptor.
type Stream struct {
	Kind Kind `json:"kind"`
	// Device is its name in /dev if it is a device: "null", "zero", "full", "random" or
	// "urandom".
	Device string `json:"device,omitempty"`
	// Flags is its access mode: unix.O_RDONLY, O_WRONLY or O_RDWR.
	Flags int `json:"flags"`
}

// Streams are the descriptors 0, 1 and 2 of a command.
type Streams struct {
	given   [3]*os.File
	streams [3]Stream
	files   [3]*os.File // for the command
	copied  [3]bool     // whether this process copies
	user    *os.File
	mine    []*os.File // to be closed at the end
	child   []*os.File // to be closed after the command's start
	input   *input
	outputs []*output
	limit   chan os.Signal
	started bool
}

// devices are the harmless devices, by number: null(4), random(4).
var devices = map[uint64]string{
	unix.Mkdev(1, 3): "null",
	unix.Mkdev(1, 5): "zero",
	unix.Mkdev(1, 7): "full",
	unix.Mkdev(1, 8): "random",
	unix.Mkdev(1, 9): "urandom",
}

// Take examines three descriptors of this process that a command should get as standard
// input, output and error output.
func Take(in, out, err *os.File) (*Streams, error) {
	s := &Streams{given: [3]*os.File{in, out, err}}
	if e := s.take(); e != nil {
		s.close()
		return nil, fmt.Errorf("cannot pass on the standard input and output: %w", e)
	}
	return s, nil
}

func (s *Streams) take() error {
	if err := s.findUser(); err != nil {
		return err
	}
	for i := range s.given {
		if err := s.takeOne(i); err != nil {
			return err
		}
	}
	return nil
}

// findUser finds the user's terminal.
func (s *Streams) findUser() error {
	if fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0); err == nil {
		s.user = os.NewFile(uintptr(fd), "/dev/tty")
		s.mine = append(s.mine, s.user)
		return nil
	}
	for _, file := range s.given {
		fd, err := descriptor(file)
		if err != nil {
			return err
		}
		if isTerminal(fd) {
			s.user = file
			return nil
		}
	}
	return nil
}

func (s *Streams) takeOne(i int) error {
	fd, err := descriptor(s.given[i])
	if err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return fmt.Errorf("descriptor %d: %w", i, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return fmt.Errorf("descriptor %d: %w", i, err)
	}
	stream := Stream{Kind: Inherited, Flags: flags & unix.O_ACCMODE}
	defer func() { s.streams[i] = stream }()
	kind := stat.Mode & unix.S_IFMT
	switch {
	case s.isUsers(fd):
		stream.Kind = Terminal
		return s.placeholder(i)
	case kind == unix.S_IFSOCK && isConnection(fd), kind == unix.S_IFIFO && isAnonymous(fd):
		s.files[i] = s.given[i]
		return nil
	case kind == unix.S_IFCHR && devices[uint64(stat.Rdev)] != "" && flags&unix.O_PATH == 0:
		stream.Kind, stream.Device = Device, devices[uint64(stat.Rdev)]
		return s.placeholder(i)
	}
	s.copied[i] = true
	if i == 0 {
		stream.Flags = unix.O_RDONLY
		return s.copyInput(fd, &stat)
	}
	stream.Flags = unix.O_WRONLY
	var first unix.Stat_t
	if i == 2 && s.copied[1] {
		if one, err := descriptor(s.given[1]); err == nil && unix.Fstat(one, &first) == nil && first.Dev == stat.Dev && first.Ino == stat.Ino {
			s.files[2] = s.files[1] // to keep the order of their output
			return nil
		}
	}
	return s.copyOutput(i, fd)
}

// placeholder opens /dev/null for a descriptor that the sandbox replaces.
func (s *Streams) placeholder(i int) error {
	fd, err := unix.Open(os.DevNull, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("%s: %w", os.DevNull, err)
	}
	s.files[i] = os.NewFile(uintptr(fd), os.DevNull)
	s.child = append(s.child, s.files[i])
	return nil
}

func (s *Streams) pipe() (ends [2]*os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return ends, fmt.Errorf("pipe: %w", err)
	}
	return [2]*os.File{os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe")}, nil
}

// Describe returns the kinds of the descriptors.
func (s *Streams) Describe() [3]Stream { return s.streams }

// Files returns the command's descriptors 0, 1 and 2. For Terminal and Device they are
// /dev/null, which the sandbox replaces.
func (s *Streams) Files() [3]*os.File { return s.files }

// User returns the controlling terminal of this process, or nil if it has none. Without
// one, User returns the first of the descriptors that is a terminal.
func (s *Streams) User() *os.File { return s.user }

// Output returns the file on the user's terminal to which the output of the command's
// own terminal goes (nil without one). keep reports whether that terminal must keep its
// output settings, because a program that reads the other output may write there, too.
func (s *Streams) Output() (file *os.File, keep bool) {
	if s.user == nil {
		return nil, false
	}
	file = s.user
	for _, i := range []int{2, 1} {
		switch s.streams[i].Kind {
		case Terminal:
			file = s.given[i]
		case Inherited:
			keep = true
		}
	}
	return file, keep
}

// Started starts the copying. Call it when the command has Files.
func (s *Streams) Started() {
	s.started = true
	for _, file := range s.child {
		_ = file.Close()
	}
	s.child = nil
	if len(s.outputs) > 0 {
		// A write beyond the limit (ulimit -f) must fail, not end this process.
		s.limit = make(chan os.Signal, 1)
		signal.Notify(s.limit, unix.SIGXFSZ)
	}
	for _, o := range s.outputs {
		go o.run()
	}
	if s.input != nil {
		go s.input.run()
	}
}

// Finish waits until all output is written. Call it when the command and all its
// remaining processes have ended, or could not be started. The part of a file or named
// pipe that they did not read remains for the next reader with the same descriptor. The
// error names the output that could not be written.
func (s *Streams) Finish() error {
	var errs []error
	if s.started {
		if s.input != nil && !s.input.finish() {
			s.input = nil
		}
		for _, o := range s.outputs {
			errs = append(errs, o.finish())
		}
	}
	if s.limit != nil {
		signal.Stop(s.limit)
	}
	s.close()
	return errors.Join(errs...)
}

func (s *Streams) close() {
	if s.input != nil {
		s.input.close()
	}
	for _, file := range append(s.child, s.mine...) {
		_ = file.Close()
	}
	s.child, s.mine, s.input, s.outputs, s.limit = nil, nil, nil, nil, nil
}

// descriptor returns file.Fd, which makes file blocking for all processes that share
// it.
func descriptor(file *os.File) (int, error) {
	if file == nil {
		return -1, os.ErrInvalid
	}
	conn, err := file.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd := -1
	if err := conn.Control(func(n uintptr) { fd = int(n) }); err != nil {
		return -1, err
	}
	return fd, nil
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// isUsers reports whether a descriptor is the user's terminal. Other terminals count as
// devices.
func (s *Streams) isUsers(fd int) bool {
	if s.user == nil || !isTerminal(fd) {
		return false
	}
	user, err := descriptor(s.user)
	if err != nil {
		return false
	}
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGDEV)
	users, e := unix.IoctlGetUint32(user, unix.TIOCGDEV)
	return err == nil && e == nil && number == users
}

// isAnonymous reports whether a pipe has no name: no process can reach another file
// through it.
func isAnonymous(fd int) bool {
	var stat unix.Statfs_t
	return unix.Fstatfs(fd, &stat) == nil && int64(stat.Type) == unix.PIPEFS_MAGIC
}

// isConnection reports whether a socket is a local one with a permanent connection.
// Sockets of the network and datagram sockets can be connected again.
func isConnection(fd int) bool {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil || domain != unix.AF_UNIX {
		return false
	}
	kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	return err == nil && (kind == unix.SOCK_STREAM || kind == unix.SOCK_SEQPACKET)
}

// name returns the name of the file that a descriptor has open.
func name(fd int, file *os.File) string {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return file.Name()
	}
	return path
}
