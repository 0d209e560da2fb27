// Package sandbox runs a command in a root file system that is not the
// running one, so that it sees an ordinary Debian system and can't touch the
// live one: with mount, PID, UTS and IPC namespaces of its own, and without
// the capabilities that reach past those.
//
// Three processes take part. The supervisor, which calls Start. The
// sandbox's init, this program again under the name InitName: PID 1 of the
// new namespaces, killed by the kernel when its supervisor dies, and with it
// all that runs in the sandbox; it stays outside the chroot, because systemctl
// takes a PID 1 that shares its root for a system that was not booted with
// systemd, and fails. And the command, chrooted, in the session and process
// group of the supervisor, so that Ctrl-C, Ctrl-Z and a change of the
// window's size reach it as ever.
//
// It keeps what well-meaning maintainer scripts do away from the running
// system. It is no prison for hostile ones: these own the system that boots
// next.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitName is the argv[0] under which main calls Main.
const InitName = "apt-be-sandbox"

// Marker is there in every sandbox, and nowhere else.
const Marker = "/run/apt-be/inside"

// BinDir holds, inside, stand-ins for commands that must not do inside what
// they do outside. It goes before all else in PATH.
const BinDir = "/run/apt-be/bin"

// Spec describes a sandbox and the command to run in it.
type Spec struct {
	Device    string // source of the mount of the root, for mount(2)
	Subvolume string // the root's, from the top level of the file system
	ReadOnly  bool   // mount the root read-only
	MountDir  string // an empty directory outside, to mount the root at
	TopDir    string // another, for the top level of the file system while shares are set up

	Name   string            // what the marker says
	Shares []Share           // other file systems of the running root, at their places
	Binds  []string          // directories of the running root that are the same inside, and written to for good
	Shown  map[string]string // files and directories of the running root to show read-only, by their places in /run or /tmp
	Texts  map[string]string // contents of files in /run to make inside, by their names
	Memory []Memory          // file systems in memory
	// Network is aptconf.NetworkDownload or NetworkFull; "" for none.
	Network string
	NoSync  bool   // what syncs files succeeds at once: see package nosync
	Policy  string // a policy-rc.d, outside
	Bin     string // a directory of stand-ins, outside; "" for none

	Path    string   // of the command, inside
	Args    []string // its argv
	Env     []string
	Dir     string   // its working directory; "/" if that is not there inside
	Collect []string // files inside to return when it ends
	Written []string // others, to return if they were written meanwhile
	Grown   []string // others, of which to return what was added meanwhile
	Spool   string   // a directory in /run inside, in which anybody may make files that are to be returned; "" for none
}

// Memory is a file system in memory, in /run inside.
type Memory struct {
	Target string
	Size   uint64 // the most that it holds, in bytes
}

// Share is another file system of the running root.
type Share struct {
	Target  string // where it is mounted, outside and inside
	Scratch string // a directory, from the top level, for what is written to it; "" to show it read-only
	Copy    bool   // not by an overlay but as a copy, for file systems that overlayfs refuses
	// Own is the path inside of what is mounted there, if the root has it: a
	// directory that it mounts at a second place.
	Own string
	// What it is: the type and the source of the mount, and on a btrfs the path
	// from the top level.
	Type, Source, Within string
	// Volatile says that what is written to it is lost with the sandbox, as it
	// would be with the running system; it has no Scratch.
	Volatile bool
}

// Result is how a command ended.
type Result struct {
	ExitCode  int               // if it exited
	Signal    syscall.Signal    // that killed it, or 0
	Killed    bool              // the sandbox itself was killed, by Signal
	Collected map[string][]byte // what was asked for by Collect, Written and Grown, and was there
	Spooled   [][]byte          // the files in the Spool, the oldest first
	Notes     []string          // what could not be set up as asked, in sentences
}

// Stdio are the three standard streams of a command; a nil one is this process's.
type Stdio struct{ In, Out, Err *os.File }

// Process is a sandbox with a command in it.
type Process struct {
	init   *os.Process
	result *os.File
}

// Start starts a sandbox. The goroutine must have called
// runtime.LockOSThread: the kernel ends the sandbox when the thread ends that
// started it. The keep files stay open in the sandbox's init, for locks that
// must last as long as it does.
func Start(spec Spec, stdio Stdio, keep ...*os.File) (*Process, error) {
	specRead, specWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer specRead.Close()
	defer specWrite.Close()
	resultRead, resultWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer resultWrite.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{InitName}
	cmd.Env = spec.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = or(stdio.In, os.Stdin), or(stdio.Out, os.Stdout), or(stdio.Err, os.Stderr)
	cmd.ExtraFiles = append([]*os.File{specRead, resultWrite}, keep...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Pdeathsig:  unix.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		resultRead.Close()
		return nil, fmt.Errorf("cannot start the sandbox: %w", err)
	}
	p := &Process{init: cmd.Process, result: resultRead}
	// Closed before the write, or a broken init could not be noticed.
	specRead.Close()
	if err := json.NewEncoder(specWrite).Encode(spec); err != nil {
		p.init.Kill()
		p.init.Wait()
		resultRead.Close()
		return nil, fmt.Errorf("cannot start the sandbox: %w", err)
	}
	return p, nil
}

func or(file, standard *os.File) *os.File {
	if file != nil {
		return file
	}
	return standard
}

// Kill ends the sandbox, with all that runs in it.
func (p *Process) Kill() error { return p.init.Kill() }

// Signal sends a signal to the command, by way of the sandbox's init.
func (p *Process) Signal(sig os.Signal) error { return p.init.Signal(sig) }

// outcome is what the init reports to its supervisor.
type outcome struct {
	Error  string
	Result Result
}

// reportLimit is how large the report of a sandbox's init can be, in bytes: all that
// is collected and spooled, in base64, and some words.
const reportLimit = (collectTotal+spoolLimit)*4/3 + 8<<20

// Wait waits until the command and all that it left running have ended. An
// error means that the command did not run; a sandbox that was killed is a
// Result.
func (p *Process) Wait() (Result, error) {
	data, readErr := io.ReadAll(io.LimitReader(p.result, reportLimit+1))
	tooMuch := len(data) > reportLimit
	if tooMuch {
		// Not the init's: whoever else writes to it may go on without end.
		data, readErr = nil, fmt.Errorf("something in it has written more than the %d MiB that its report may have", reportLimit>>20)
		_ = p.init.Kill()
	}
	p.result.Close()
	state, err := p.init.Wait()
	if err != nil {
		return Result{}, fmt.Errorf("cannot wait for the sandbox: %w", err)
	}
	if ws := state.Sys().(syscall.WaitStatus); ws.Signaled() && !tooMuch {
		return Result{Killed: true, Signal: ws.Signal()}, nil
	}
	var o outcome
	if readErr == nil {
		readErr = json.Unmarshal(data, &o)
	}
	if readErr != nil {
		return Result{}, fmt.Errorf("cannot learn how the sandbox ended: %w", readErr)
	}
	if o.Error != "" {
		return Result{}, errors.New(o.Error)
	}
	return o.Result, nil
}

// Run is Start and Wait, on a thread of its own.
func Run(spec Spec, stdio Stdio, keep ...*os.File) (Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := Start(spec, stdio, keep...)
	if err != nil {
		return Result{}, err
	}
	return p.Wait()
}
