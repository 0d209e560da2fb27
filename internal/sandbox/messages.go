package sandbox

import (
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/streams"
)

// beginning is the first message to the keeper.
type beginning struct {
	Spec     Spec
	Streams  [3]streams.Stream
	Terminal bool // the command gets a terminal
	// Background starts the command in the background of its terminal: in a pipeline,
	// other processes use the user's terminal until the command reads it.
	Background bool
}

// order is each further message to the keeper. The end of the orders ends the sandbox.
type order struct {
	Signal     syscall.Signal // for the command; 0 for none
	Continue   bool           // the terminal is ready: the command continues, or starts
	Foreground bool           // the command moves to the foreground of its terminal
}

// report is a message from the keeper. The last one has no Stopped.
type report struct {
	Stopped syscall.Signal `json:",omitempty"` // this signal stopped the command
	Error   string         // the reason why the command did not run; "" if it ran
	Result  Result
}

// task is the keeper's message to the door.
type task struct {
	Spec    Spec
	Streams [3]streams.Stream
}

// sendFile sends one byte, with a descriptor unless file is nil.
func sendFile(socket, file *os.File) error {
	var rights []byte
	if file != nil {
		rights = unix.UnixRights(int(file.Fd()))
	}
	return unix.Sendmsg(int(socket.Fd()), []byte{0}, rights, nil, unix.MSG_NOSIGNAL)
}

// receiveFile receives a message of sendFile. The error io.EOF means that the other
// side has ended.
func receiveFile(socket *os.File) (*os.File, error) {
	space := make([]byte, unix.CmsgSpace(4))
	one := make([]byte, 1)
	var n, rightsLen int
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		n, rightsLen, _, _, err = unix.Recvmsg(int(socket.Fd()), one, space, unix.MSG_CMSG_CLOEXEC)
	}
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	if n == 0 {
		return nil, io.EOF
	}
	messages, err := unix.ParseSocketControlMessage(space[:rightsLen])
	if err != nil || len(messages) == 0 {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) == 0 {
		return nil, err
	}
	return os.NewFile(uintptr(fds[0]), "received"), nil
}
