package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/nosync"
	"github.com/apt-be/apt-be/internal/streams"
	"github.com/apt-be/apt-be/internal/syscalls"
)

// enter runs the door, the process that becomes the command. It has all capabilities
// until it has set up what only a process in the sandbox's PID namespace can set up.
// Then it gives up the capabilities that the command must not have. It never returns.
func enter() {
	socket := os.NewFile(toKeeperFD, "keeper")
	err := pass(socket)
	// The code is reached only if the command was not executed.
	_, _ = socket.WriteString(err.Error())
	os.Exit(1)
}

func pass(socket *os.File) error {
	separateErr := separate() // in parallel with the keeper's assembly of the root
	var t task
	if err := json.NewDecoder(socket).Decode(&t); err != nil {
		return fmt.Errorf("cannot read the sandbox's task: %w", err)
	}
	if separateErr != nil {
		return fmt.Errorf("cannot set up the sandbox: %w", separateErr)
	}
	if err := t.settle(socket); err != nil {
		return fmt.Errorf("cannot set up the sandbox: %w", err)
	}
	err := unix.Exec(t.Spec.Path, t.Spec.Args, t.Spec.Env)
	return fmt.Errorf("cannot run %s in the sandbox: %w", t.Spec.Path, err)
}

// aloneOption makes the door enter PID 1's network namespace, which is empty.
const aloneOption = "alone"

// separate enters the namespaces of the command that the keeper is not in.
func separate() error {
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if !slices.Contains(os.Args, aloneOption) {
		return nil
	}
	if err := unix.Setns(networkFD, unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	return syscalls.LoopbackUp()
}

// settle does everything except the execve(2) of the command.
func (t task) settle(socket *os.File) error {
	if err := closeOnExec(toKeeperFD); err != nil {
		return err
	}
	if err := enterDecoy(); err != nil {
		return err
	}
	if err := unix.Chroot(insideDir); err != nil {
		return os.NewSyscallError("chroot", err)
	}
	a := &assembler{root: "/"}
	if err := a.proc(); err != nil {
		return err
	}
	if err := os.Chdir(filepath.Clean("/" + t.Spec.WorkDir)); err != nil {
		if err := os.Chdir("/"); err != nil {
			return err
		}
	}
	if err := t.openDevices(); err != nil {
		return err
	}
	if err := t.filter(socket); err != nil {
		return err
	}
	return limitCapabilities(commandHas)
}

// openDevices replaces the running system's devices by the sandbox's own.
func (t task) openDevices() error {
	for i, s := range t.Streams {
		if s.Kind != streams.Device {
			continue
		}
		fd, err := unix.Open("/dev/"+s.Device, s.Flags|unix.O_NOCTTY, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: "/dev/" + s.Device, Err: err}
		}
		if err := unix.Dup3(fd, i, 0); err != nil {
			return os.NewSyscallError("dup3", err)
		}
		if err := unix.Close(fd); err != nil {
			return os.NewSyscallError("close", err)
		}
	}
	return nil
}

// filter installs the filters of system calls. It sends the keeper the descriptor for
// the kernel's requests, or none if the kernel cannot make requests.
func (t task) filter(socket *os.File) error {
	if t.Spec.NoSync {
		if err := nosync.Install(); err != nil {
			return err
		}
	}
	if err := syscalls.Deny(); err != nil {
		return err
	}
	fd, err := syscalls.Intercept(t.Spec.downloads())
	if err != nil && t.Spec.downloads() {
		return fmt.Errorf("%w (Apt-Be::Sandbox::Network \"full\" does without)", err)
	}
	if err != nil {
		// A container that has such a filter cannot have a second one. Then hooks find
		// the stand-in for mount(8) by PATH.
		return sendFile(socket, nil)
	}
	listener := os.NewFile(uintptr(fd), "listener")
	defer listener.Close()
	return sendFile(socket, listener)
}
