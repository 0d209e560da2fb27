// Package guest runs a virtual machine in QEMU and works at its serial
// console, for tests that have to see a machine boot. It needs
// qemu-system-x86_64 and no virtualization of the host's: all is emulated.
package guest

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// How long to wait at most. The emulated processor is some ten times slower
// than the host's, and shares that with other tests.
const (
	bootLimit    = 10 * time.Minute
	commandLimit = 5 * time.Minute
)

// Guest is a running virtual machine.
type Guest struct {
	*Console
	ended    chan error // gets what Wait says
	commands int        // that were run, to tell their output apart
}

// Start switches a machine on whose disk is the raw image, which stays as it
// is: what the machine writes goes to a temporary file. The machine ends with
// the test, and with this process.
func Start(t testing.TB, image string) *Guest {
	t.Helper()
	// nice(1) becomes QEMU, so the process id is QEMU's.
	cmd := exec.Command("nice", "-n", "5", "qemu-system-x86_64",
		"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024",
		"-nodefaults", "-display", "none", "-vga", "std", "-monitor", "none", "-serial", "stdio",
		"-drive", "file="+image+",format=raw,if=virtio,snapshot=on",
		"-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng",
	)
	cmd.SysProcAttr = &unix.SysProcAttr{Pdeathsig: unix.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot run qemu-system-x86_64 (package qemu-system-x86): %v", err)
	}
	g := &Guest{Console: NewConsole(out, in), ended: make(chan error, 1)}
	go func() {
		<-g.read
		g.ended <- cmd.Wait()
	}()
	t.Cleanup(func() {
		if g.ended != nil {
			_ = cmd.Process.Kill()
			<-g.ended
		}
	})
	return g
}

// Login waits for the shell that a machine which has booted shows on its
// console, and makes it one that [Guest.Run] can talk to.
func (g *Guest) Login(t testing.TB) {
	t.Helper()
	start := time.Now()
	g.Expect(t, bootLimit, `root@[^\s:]+:~# `)
	// No line editing, no echo; kernel messages do not go in between.
	// What is typed while bash edits a line would not end with a return for sh.
	g.Send(t, "exec env PS1=sh'> ' PS2= sh\r")
	g.Expect(t, commandLimit, `sh> `)
	g.Send(t, "PS1=; stty -echo -onlcr; dmesg -n 1; echo rea''dy\r")
	g.Expect(t, commandLimit, `ready\n`)
	// systemd's own messages come to the console until it is done.
	g.Run(t, "systemctl is-system-running --wait")
	t.Logf("it took %.1f s to boot", time.Since(start).Seconds())
}

// Result is how a command ended.
type Result struct {
	Status int    // as the shell has it
	Output string // of stdout and stderr, in order
}

// Run runs a shell script in the machine and waits for it.
func (g *Guest) Run(t testing.TB, script string) Result {
	t.Helper()
	g.commands++
	start := time.Now()
	number := strconv.Itoa(g.commands)
	// A marker is not in the text that is typed, in case it is echoed.
	g.Send(t, "printf '=%s=\\n' begin-"+number+"; (\r"+script+"\r) 2>&1 </dev/null; printf '=%s=%d=\\n' end-"+number+" $?\r")
	match := g.Expect(t, commandLimit, `(?s)=begin-`+number+`=\n(.*?)=end-`+number+`=(\d+)=\n`)
	status, err := strconv.Atoi(match[2])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("# %s\n%s[status %d, %.1f s]", script, Plain(match[1]), status, time.Since(start).Seconds())
	return Result{Status: status, Output: match[1]}
}

// Shell runs a shell script, fails the test if that fails, and returns what it
// printed.
func (g *Guest) Shell(t testing.TB, script string) string {
	t.Helper()
	result := g.Run(t, script)
	if result.Status != 0 {
		t.Fatalf("%s: status %d:\n%s", script, result.Status, result.Output)
	}
	return result.Output
}

// Reboot tells the machine to boot again, in an orderly manner.
func (g *Guest) Reboot(t testing.TB) {
	t.Helper()
	g.Send(t, "systemctl reboot\r")
}

// PowerOff switches the machine off, in an orderly manner, and waits for that.
func (g *Guest) PowerOff(t testing.TB) {
	t.Helper()
	g.Send(t, "systemctl poweroff\r")
	select {
	case err := <-g.ended:
		g.ended = nil
		if err != nil {
			t.Errorf("QEMU: %v", err)
		}
	case <-time.After(bootLimit):
		t.Fatalf("the machine did not switch itself off within %s", bootLimit)
	}
}
