// Package hostile holds attempts of a maintainer script to reach the running
// system from the sandbox in which an upgrade runs, and the program that makes
// them there: attack, which is this package. Tests put it into a package for
// dpkg, or run it by apt-be run, and judge the lines that it prints.
//
// An attempt that succeeds does no harm: it writes what was there before, or
// opens and does not write, or marks a thing that a test has planted.
package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Attempt is one thing that a script tries.
type Attempt struct {
	Name string
	Wall string // what it is to get over: one of Walls
	What string // what it does
	// Alone says that it ends or hampers the sandbox that it is made in, so that
	// it has a run of its own.
	Alone bool
	// Terminal says that it is about the terminal that the run is on.
	Terminal bool

	run func() Verdict
}

// Verdict is how an attempt ended, as far as it can be known inside.
type Verdict struct {
	Outcome Outcome
	Detail  string
}

// Outcome is one of three.
type Outcome string

const (
	// Held: it was refused, or there was nothing to reach.
	Held Outcome = "held"
	// Broken: it reached what is not the sandbox's own.
	Broken Outcome = "BROKEN"
	// Did: it did something that is no harm if it stays inside. What is outside
	// has to be looked at.
	Did Outcome = "did"
)

func (v Verdict) String() string { return fmt.Sprintf("%s: %s", v.Outcome, v.Detail) }

func held(format string, args ...any) Verdict {
	return Verdict{Held, fmt.Sprintf(format, args...)}
}

func broken(format string, args ...any) Verdict {
	return Verdict{Broken, fmt.Sprintf(format, args...)}
}

func did(format string, args ...any) Verdict {
	return Verdict{Did, fmt.Sprintf(format, args...)}
}

// refused is Held for an error, and Broken for none.
func refused(err error, what string, args ...any) Verdict {
	if err != nil {
		return held("%v", err)
	}
	return broken(what, args...)
}

// Walls are what attempts are made at, in the order in which they are made.
func Walls() []string {
	return []string{
		"pid1", "exe", "journal", "descriptors", "namespaces", "proc", "sys", "cgroup", "devices", "dev",
		"keyring", "kernel", "btrfs", "network", "limits", "archives", "terminal", "supervisor", "results",
	}
}

// Attempts lists all, wall by wall.
func Attempts() []Attempt {
	all := slices.Concat(pid1(), descriptors(), namespaces(), mounts(), files(), devices(), keyring(), kernel(),
		btrfs(), network(), limits(), archives(), terminal(), supervisor(), results())
	walls := Walls()
	slices.SortStableFunc(all, func(x, y Attempt) int {
		return slices.Index(walls, x.Wall) - slices.Index(walls, y.Wall)
	})
	return all
}

// Table lists the attempts for a reader, a line each.
func Table() string {
	var out strings.Builder
	for _, a := range Attempts() {
		mark := ""
		if a.Alone {
			mark = " (a run of its own)"
		}
		fmt.Fprintf(&out, "%-12s %-28s %s%s\n", a.Wall, a.Name, a.What, mark)
	}
	return out.String()
}

// Where the program is in a root, and what a test has planted outside is told in.
const (
	Program = "/usr/lib/bt-hostile/attack"
	Plan    = "/etc/bt-hostile.json"
)

// Results are where the lines of a run are kept in its root, beside what it prints.
const Results = "/var/lib/bt-hostile"

// Build compiles the program for a root without any library. project is the top
// directory of the repository.
func Build(project string) ([]byte, error) {
	dir, err := os.MkdirTemp("", "attack")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "attack")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./tests/hostile/attack")
	build.Dir = project
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build the program of the attempts: %w: %s", err, out)
	}
	return os.ReadFile(program)
}

// Parse finds the lines of attempts in what a run printed, or in a file of
// Results. An attempt without a line ended with the run.
func Parse(output string) map[string]Verdict {
	known := make(map[string]bool)
	for _, a := range Attempts() {
		known[a.Name] = true
	}
	found := make(map[string]Verdict)
	for _, line := range strings.Split(output, "\n") {
		line = strings.TrimSpace(line)
		name, rest, _ := strings.Cut(line, ": ")
		outcome, detail, ok := strings.Cut(rest, ": ")
		if ok && known[name] && slices.Contains([]Outcome{Held, Broken, Did}, Outcome(outcome)) {
			found[name] = Verdict{Outcome(outcome), detail}
		}
	}
	return found
}
