// Package guest runs virtual machines in QEMU for tests that need a boot. It uses a
// machine's serial console, and runs scripts in the machine. It needs
// qemu-system-x86_64 and no virtualization of the host, because everything is emulated.
//
// The machine itself reports its state: tests/vm/root contains the program that runs
// there. Time limits only make a broken test fail.
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

// Time limits. The emulated processor is about ten times slower than the host's, and
// other tests use the host, too.
const (
	bootLimit    = 10 * time.Minute
	commandLimit = 20 * time.Minute
)

// T is the interface of a test that this package needs: *testing.T, or its replacement
// where a machine runs without a test. Fatalf does not return.
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
	err      error         // the error of QEMU; read it after ended
	commands int           // the number of commands so far, which separates their outputs
}

// Start switches a machine on that boots from disk and writes to disk. The machine ends
// with the test, and with this process.
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
	// nice(1) becomes QEMU, so the process ID is QEMU's.
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

// socketpair returns the two ends of a connection, the second one for a child.
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

// Kill cuts the power. Flushed data is on the disk, and [Start] can boot from the disk
// again.
func (g *Guest) Kill(t T) {
	t.Helper()
	g.kill()
}

func (g *Guest) kill() {
	_ = g.process.Kill()
	<-g.ended
}

// PowerOff shuts the machine down and waits until it is off.
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

// Address returns the address of a TCP port of the machine, one of [Options].Ports, as
// host and port for net.Dial.
func (g *Guest) Address(port int) string {
	return fmt.Sprintf("127.0.0.1:%d", g.ports[port])
}

// freePorts finds a free port of this host for each of the machine's ports.
func freePorts(ports []int) (map[int]int, error) {
	free := map[int]int{}
	for _, port := range ports {
		// Another process could take a port before QEMU does, so all are held until
		// each has one.
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
