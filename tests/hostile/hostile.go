// Package hostile contains attempts of a maintainer script to reach the running system
// from the sandbox of an upgrade, and the program attack, which makes them there. Tests
// put the program into a package for dpkg, or run it with apt-be run, and judge the
// lines that it prints.
//
// A successful attempt does no harm: it writes the old value, opens without writing, or
// marks an object that a test has created.
package hostile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Attempt is one attempt of a script.
type Attempt struct {
	Name string
	Wall string // the wall that it attacks: one of Walls
	What string // a description
	// Alone is true if the attempt ends or hampers its sandbox, so that it needs a run
	// of its own.
	Alone bool
	// Terminal is true if the attempt concerns the terminal of the run.
	Terminal bool

	run func() Verdict
}

// Verdict is the result of an attempt, as seen inside.
type Verdict struct {
	Outcome Outcome
	Detail  string
}

// Outcome is one of three results.
type Outcome string

const (
	// Held: the attempt was refused, or found nothing to reach.
	Held Outcome = "held"
	// Broken: the attempt reached an object outside of the sandbox.
	Broken Outcome = "BROKEN"
	// Did: the attempt had an effect that is harmless if it stays inside. The test must
	// check outside.
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

// refused returns Held for an error, and Broken for nil.
func refused(err error, what string, args ...any) Verdict {
	if err != nil {
		return held("%v", err)
	}
	return broken(what, args...)
}

// Walls returns the walls in the order of the attempts.
func Walls() []string {
	return []string{
		"pid1", "exe", "journal", "descriptors", "namespaces", "proc", "sys", "cgroup", "devices", "dev",
		"keyring", "kernel", "btrfs", "network", "limits", "archives", "terminal", "supervisor", "results",
	}
}

// Attempts returns all attempts, wall by wall.
func Attempts() []Attempt {
	all := slices.Concat(pid1(), descriptors(), namespaces(), mounts(), files(), devices(), keyring(), kernel(),
		btrfs(), network(), limits(), archives(), terminal(), supervisor(), results())
	walls := Walls()
	slices.SortStableFunc(all, func(x, y Attempt) int {
		return slices.Index(walls, x.Wall) - slices.Index(walls, y.Wall)
	})
	return all
}

// Table lists the attempts for a reader, one line each.
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

// The path of the program in a root, and the file that names the objects that a test
// has created outside.
const (
	Program = "/usr/lib/bt-hostile/attack"
	Plan    = "/etc/bt-hostile.json"
)

// Results is the file in a run's root that also keeps the run's lines.
const Results = "/var/lib/bt-hostile"

// Build compiles the program for a root without libraries. project is the top directory
// of the repository.
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

// Parse finds the lines of attempts in the output of a run, or in a file of Results. An
// attempt without a line ended together with the run.
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
