// Package guest runs a virtual machine in QEMU for tests that have to see a
// machine boot, works at its serial console, and runs scripts in it. It needs
// qemu-system-x86_64 and no virtualization of the host's: all is emulated.
//
// What a machine does is told by the machine itself: tests/vm/root has the
// program that runs there. Time limits are there to fail.
package guest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"
)

// How long to wait at most. The emulated processor is some ten times slower
// than the host's, and shares that with other tests.
const (
	bootLimit    = 10 * time.Minute
	commandLimit = 20 * time.Minute
)

// T is what a test is to this package: *testing.T, or what stands in for it
// where a machine is run without one. Fatalf does not return.
type T interface {
	Helper()
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
	Cleanup(func())
	Failed() bool
}

// Guest is a running virtual machine.
type Guest struct {
	// Console is the first serial line: firmware, boot menu, kernel, login.
	*Console
	// QMP is QEMU's monitor: [Guest.Monitor].
	qmp *monitor

	agent    *Console // the second serial line
	ports    map[int]int
	process  *os.Process
	ended    chan struct{} // closed when QEMU has ended
	err      error         // of that; read it after ended
	commands int           // that were run, to tell their output apart
}

// Start switches a machine on that boots from disk and writes to it. The
// machine ends with the test, and with this process.
func Start(t T, disk Disk, options Options) *Guest {
	t.Helper()
	g, err := start(disk, options)
	if err != nil {
		t.Fatalf("cannot start a virtual machine: %v", err)
	}
	t.Cleanup(func() {
		g.kill()
		if t.Failed() {
			t.Logf("the last that the console showed:\n%s", tail(Plain(g.Output()), 8000))
		}
	})
	return g
}

func start(disk Disk, options Options) (*Guest, error) {
	ports, err := freePorts(options.Ports)
	if err != nil {
		return nil, err
	}
	// nice(1) becomes QEMU, so the process id is QEMU's.
	cmd := exec.Command("nice", append([]string{"-n", "5", "qemu-system-x86_64"}, arguments(disk, options, ports)...)...)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	cmd.Stderr = os.Stderr
	agent, theirs, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	qmp, theirQMP, err := socketpair()
	if err != nil {
		return nil, err
	}
	defer theirQMP.Close()
	cmd.ExtraFiles = []*os.File{theirs, theirQMP}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("package qemu-system-x86: %w", err)
	}
	g := &Guest{
		Console: NewConsole(out, in), agent: NewConsole(agent, agent), qmp: newMonitor(qmp),
		ports: ports, process: cmd.Process, ended: make(chan struct{}),
	}
	go func() {
		<-g.Console.output.Closed()
		g.err = cmd.Wait()
		agent.Close()
		qmp.Close()
		close(g.ended)
	}()
	return g, nil
}

// socketpair returns the two ends of a connection, the second for a child.
func socketpair() (net.Conn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("cannot make a socket: %w", err)
	}
	return conn, theirs, nil
}

// Kill cuts the power. What the machine has flushed is on the disk, and
// [Start] boots from it again.
func (g *Guest) Kill(t T) {
	t.Helper()
	g.kill()
}

func (g *Guest) kill() {
	_ = g.process.Kill()
	<-g.ended
}

// PowerOff switches the machine off, in an orderly manner, and waits for that.
func (g *Guest) PowerOff(t T) {
	t.Helper()
	g.Begin(t, "systemctl poweroff")
	g.WaitEnd(t)
}

// WaitEnd waits until the machine has switched itself off.
func (g *Guest) WaitEnd(t T) {
	t.Helper()
	select {
	case <-g.ended:
		var exit *exec.ExitError
		if errors.As(g.err, &exit) {
			t.Fatalf("QEMU: %v", g.err)
		}
	case <-time.After(bootLimit):
		t.Fatalf("the machine did not switch itself off within %s", bootLimit)
	}
}

// Address returns where a TCP port of the machine, one of [Options].Ports, is
// reached: a host and a port, as net.Dial takes them.
func (g *Guest) Address(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", g.ports[port])
}

// freePorts finds a free port of this host for each of the machine's.
func freePorts(ports []int) (map[int]int, error) {
	free := map[int]int{}
	for _, port := range ports {
		// Until QEMU takes it, somebody else could; all are held until each has one.
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		defer listener.Close()
		free[port] = listener.Addr().(*net.TCPAddr).Port
	}
	return free, nil
}

// tail returns the end of a text, at most limit bytes.
func tail(text string, limit int) string {
	return text[max(0, len(text)-limit):]
}
