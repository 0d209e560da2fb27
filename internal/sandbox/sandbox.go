// Package sandbox runs a command in a root file system other than the running one. The
// command sees an ordinary Debian system and cannot reach the running system: it has
// mount, PID, UTS, IPC, cgroup and network namespaces of its own, and lacks the
// capabilities and system calls that reach outside of them. The processes in the sandbox
// may be hostile.
//
// Four processes take part.
//
//   - The supervisor calls Start.
//   - The keeper (keep.go) is this program, executed again. It is outside of the
//     sandbox's PID namespace, so no process inside can address it. It assembles the
//     root, holds the locks, and is the parent of the other two processes. When all
//     processes inside have ended, it collects the files that the command left. If the
//     supervisor dies, the keeper ends the sandbox.
//   - PID 1 of the sandbox (reaper.go) is executed from memory. It reaps orphans. It has
//     no other task, and no open files besides those of the Go runtime.
//   - The command. Before the command is executed, its process is the door (enter.go):
//     this program, from the same memory, which drops all privileges that scripts must
//     not have.
//
// The keeper, PID 1 and the door have an empty read-only file system as their root. The
// sandbox's root is mounted in it, and the command is chrooted there. The reason is
// systemctl: if PID 1 had the same root as the command, systemctl would conclude that
// the system was not booted with systemd, and fail.
//
// The command has a terminal of its own if the supervisor has one (package terminal). It
// has no descriptor of a file outside (package streams).
package sandbox

import (
	"syscall"

	"github.com/apt-be/apt-be/aptconf"
)

// Name is the argv[0] under which main calls Main.
const Name = "apt-be-sandbox"

// Marker exists in every sandbox, and nowhere else.
const Marker = "/run/apt-be/inside"

// BinDir contains, inside, stand-ins for commands that would act on the running system.
// It is the first directory of PATH.
const BinDir = "/run/apt-be/bin"

// Spec describes a sandbox and the command to run in it.
type Spec struct {
	Device    string // the source of the root's mount, for mount(2)
	Subvolume string // of the root, from the top level of the file system
	ReadOnly  bool   // mount the root read-only
	Dir       string // an empty directory outside, in which the sandbox is assembled

	Name          string            // the text of the marker
	ForeignMounts []ForeignMount    // other file systems of the running root, at their places
	Discs         []string          // mounted discs with packages, read-only
	Shown         map[string]string // files and directories of the running root to show read-only, by their places in /run or /tmp
	Texts         map[string]string // contents of files in /run to create inside, by their names
	Memory        []Memory          // file systems in memory
	// Network is aptconf.NetworkDownload or NetworkFull; "" for none.
	Network string
	NoSync  bool   // system calls that sync files succeed at once: see package nosync
	Policy  string // the path of a policy-rc.d, outside
	Bin     string // a directory of stand-ins, outside; "" for none

	Path    string   // of the command, inside
	Args    []string // its argv
	Env     []string
	WorkDir string   // its working directory; "/" if the directory does not exist inside
	Collect []string // files inside to return at the end
	Written []string // files to return if they were written meanwhile
	Grown   []string // files of which to return the added part
	Spool   string   // a directory in /run inside in which every user may create files to return; "" for none
}

// alone reports whether the command has a network namespace of its own.
func (spec Spec) alone() bool { return spec.Network != aptconf.NetworkFull }

// downloads reports whether the command gets sockets of the running system's network
// until its scripts are about to run (package syscalls).
func (spec Spec) downloads() bool { return spec.Network == aptconf.NetworkDownload }

// Memory is a file system in memory, in /run inside.
type Memory struct {
	Target string
	Size   uint64 // its limit, in bytes
}

// ForeignMount is another file system of the running root.
type ForeignMount struct {
	Target  string // its mount point, outside and inside
	Scratch string // a directory, from the top level, for writes to it; "" to show it read-only
	Copy    bool   // shown as a copy, not as an overlay, for file systems that overlayfs refuses
	// Own is the path inside of a directory of the root that the root also mounts at
	// the target.
	Own string
	// The type and the source of the mount, and on btrfs the path from the top level.
	Type, Source, Within string
	// Volatile reports that writes to it are lost with the sandbox, as they are lost
	// with the running system; it has no Scratch.
	Volatile bool
}

// Result is the end of a command.
type Result struct {
	ExitCode  int               // if the command exited
	Signal    syscall.Signal    // the signal that killed it, or 0
	Killed    bool              // Signal killed the sandbox itself
	Collected map[string][]byte // the existing files of Collect, Written and Grown
	Spooled   [][]byte          // the files in the Spool, the oldest first
	Notes     []string          // sentences about parts that could not be set up as requested
}
