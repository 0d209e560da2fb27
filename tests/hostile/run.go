package hostile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const usage = `usage: attack list
       attack one NAME             one attempt
       attack all [WALL...]        all that spare the sandbox, of these walls
       attack to FILE COMMAND...   the same, with the lines in a file too
       attack victim DIRECTORY     outside: what must not be reached
`

// marker exists in every sandbox, and nowhere else.
const marker = "/run/apt-be/inside"

// limit is the time limit of one attempt.
const limit = 10 * time.Second

// Main is the program attack.
func Main() {
	args := os.Args[1:]
	if len(args) > 2 && args[0] == "to" {
		file, err := os.OpenFile(args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if errors.Is(err, os.ErrNotExist) && os.MkdirAll(filepath.Dir(args[1]), 0o755) == nil {
			file, err = os.OpenFile(args[1], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		kept, args = file, args[2:]
	}
	// Outside of a sandbox, the attempts would succeed.
	if _, err := os.Lstat(marker); err != nil && len(args) > 0 && (args[0] == "one" || args[0] == "all") {
		fmt.Fprintf(os.Stderr, "this is no sandbox: there is no %s\n", marker)
		os.Exit(3)
	}
	switch {
	case len(args) == 1 && args[0] == "list":
		fmt.Print(Table())
	case len(args) == 2 && args[0] == "one":
		os.Exit(one(args[1]))
	case len(args) >= 1 && args[0] == "all":
		all(args[1:])
	case len(args) == 2 && args[0] == "victim":
		if err := victim(args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case len(args) >= 1 && args[0] == "helper":
		helper(args[1:])
	default:
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
}

// kept is the file of the lines, or nil.
var kept *os.File

func say(name string, v Verdict) {
	line := fmt.Sprintf("%s: %s\n", name, strings.ReplaceAll(v.String(), "\n", " "))
	// The file is first, because the attempt may have destroyed standard output.
	if kept != nil {
		_, _ = kept.WriteString(line)
	}
	_, _ = os.Stdout.WriteString(line)
}

// one makes one attempt in this process.
func one(name string) int {
	for _, a := range Attempts() {
		if a.Name == name {
			// Changes of the thread itself end with it.
			runtime.LockOSThread()
			if a.Alone {
				// The attempt may end this process.
				say(name, Verdict{Did, "began"})
			}
			say(name, a.run())
			return 0
		}
	}
	fmt.Fprintf(os.Stderr, "no attempt is called %q\n", name)
	return 2
}

// all makes the attempts that spare the sandbox, each in a process of its own.
func all(walls []string) {
	// A terminal's signals go to the attempts.
	signal.Ignore(unix.SIGHUP, unix.SIGTTOU, unix.SIGTTIN, unix.SIGTSTP)
	file := kept
	kept = nil
	self, err := os.Executable()
	if err != nil {
		self = Program
	}
	for _, a := range Attempts() {
		if a.Alone || len(walls) > 0 && !slices.Contains(walls, a.Wall) {
			continue
		}
		kept = file
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		cmd := exec.CommandContext(ctx, self, "one", a.Name)
		cmd.Stdin = os.Stdin
		if !a.Terminal {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		}
		cmd.WaitDelay = time.Second
		start := time.Now()
		out, err := cmd.CombinedOutput()
		cancel()
		took := time.Since(start)
		verdict, ok := Parse(string(out))[a.Name]
		if !ok {
			verdict = held("no answer: %v: %.300s", err, strings.Join(strings.Fields(string(out)), " "))
		}
		if took > 2*time.Second {
			verdict.Detail += fmt.Sprintf(" (after %.1f s)", took.Seconds())
		}
		say(a.Name, verdict)
	}
}

// planted are the objects that a test has created outside. All fields are empty without
// a test.
type planted struct {
	TCP      int    // a port of 127.0.0.1
	UDP      int    // the same
	Abstract string // the name of an abstract socket
	Key      string // the description of a key in root's user keyring
	Shared   string // a file of /dev/shm
	Cgroup   string // a control group, by its path from the top
	PID      int    // of a process outside
	Sockets  []string
}

// plan reads the file that names the planted objects.
func plan() planted {
	var p planted
	if data, err := os.ReadFile(Plan); err == nil {
		_ = json.Unmarshal(data, &p)
	}
	return p
}
