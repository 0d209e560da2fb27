package inside

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// dieOf is the environment variable that makes this test binary die of a signal, for
// TestDie.
const dieOf = "DIE_OF_SIGNAL"

func TestMain(m *testing.M) {
	if text := os.Getenv(dieOf); text != "" {
		number, err := strconv.Atoi(text)
		if err != nil {
			panic(err)
		}
		// The user wants core files.
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		if number > 0 {
			// The parent has blocked the signal.
			mask := unix.Sigset_t{}
			mask.Val[(number-1)/64] = 1 << ((number - 1) % 64)
			runtime.LockOSThread()
			_ = unix.PthreadSigmask(unix.SIG_BLOCK, &mask, nil)
		}
		sigs := CatchSignals()
		defer sigs.Stop()
		Exit{Code: 3, Signal: syscall.Signal(number)}.Die()
	}
	os.Exit(m.Run())
}

// TestDie checks that a process dies of the frontend's signal, without output and
// without a core file.
func TestDie(t *testing.T) {
	signals := []syscall.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGILL, unix.SIGTRAP, unix.SIGABRT, unix.SIGBUS, unix.SIGFPE,
		unix.SIGKILL, unix.SIGUSR1, unix.SIGSEGV, unix.SIGUSR2, unix.SIGPIPE, unix.SIGALRM, unix.SIGTERM, unix.SIGSTKFLT,
		unix.SIGXCPU, unix.SIGXFSZ, unix.SIGVTALRM, unix.SIGPROF, unix.SIGIO, unix.SIGPWR, unix.SIGSYS, 34, 50, 64,
	}
	for _, sig := range signals {
		t.Run(fmt.Sprint(int(sig)), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Dir = t.TempDir()
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", dieOf, int(sig)))
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Fatalf("it did not die: %v", err)
			}
			status := exit.Sys().(syscall.WaitStatus)
			if !status.Signaled() || status.Signal() != sig || status.CoreDump() || said.Len() > 0 {
				t.Errorf("it ended by %v (signal %d, core %v) and said:\n%s", exit, status.Signal(), status.CoreDump(), said.Bytes())
			}
			if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
				t.Errorf("it left %v, %v", left, err)
			}
		})
	}
}

// TestDieIgnored checks the same if the parent of the process ignores the signal.
func TestDieIgnored(t *testing.T) {
	for _, sig := range []syscall.Signal{unix.SIGABRT, unix.SIGTERM, unix.SIGPIPE, unix.SIGHUP} {
		cmd := exec.Command("/bin/sh", "-c", fmt.Sprintf("trap '' %d; exec \"$0\"", int(sig)), os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", dieOf, int(sig)))
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig {
			t.Errorf("signal %d: %v", int(sig), err)
		}
	}
}

// TestDieCode checks that an exit status stays an exit status.
func TestDieCode(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), dieOf+"=0")
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("it ended with %v, want 3", err)
	}
}
