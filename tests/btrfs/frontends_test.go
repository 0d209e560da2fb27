package btrfs_test

import (
	"path"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// frontend is one way to upgrade everything.
type frontend struct {
	name    string
	command string   // the user's command
	asks    []string // its arguments
	yes     []string // its arguments to run without a question
	program string   // the name of the file that is executed, or interpreted
	first   string   // the answers to its questions before the final one
}

func frontends() []frontend {
	return []frontend{
		{
			name: "apt-get dist-upgrade", command: "apt-get", program: "apt-get",
			asks: []string{"dist-upgrade"}, yes: []string{"-y", "dist-upgrade"},
		},
		{
			name: "apt full-upgrade", command: "apt", program: "apt",
			asks: []string{"full-upgrade"}, yes: []string{"-y", "full-upgrade"},
		},
		{
			name: "aptitude full-upgrade", command: "aptitude", program: "aptitude-curses",
			asks: []string{"full-upgrade"}, yes: []string{"-y", "full-upgrade"},
			first: "y\n", // to its solution for the library that another replaces
		},
		{
			name: "unattended-upgrade", command: "unattended-upgrade", program: "unattended-upgrade",
		},
	}
}

// question returns the command that asks before it upgrades.
func (f frontend) question(stdin string) machine.Command {
	return machine.Command{Args: append([]string{f.command}, f.asks...), Stdin: stdin}
}

// quiet returns the command that does not ask.
func (f frontend) quiet() machine.Command {
	return machine.Command{Args: append([]string{f.command}, f.yes...)}
}

// isReal reports whether a process is the real frontend, diverted or not, and not
// apt-be under its name.
func (f frontend) isReal(p machine.Process) bool {
	real := func(name string) bool {
		return strings.TrimSuffix(path.Base(name), ".distrib") == f.program
	}
	interpreted := len(p.Args) > 1 && strings.HasPrefix(path.Base(p.Exe), "python3") && real(p.Args[1])
	return interpreted || real(p.Exe)
}

// isSupervisor reports whether a process is apt-be under the frontend's name.
func (f frontend) isSupervisor(p machine.Process) bool { return p.Runs("/usr/bin/apt-be", f.command) }

// isInit reports whether a process is the first process of a sandbox.
func isInit(p machine.Process) bool { return p.Runs("/usr/bin/apt-be", "apt-be-sandbox") }

// isNap reports whether a process is the sleep of the slow archives.
func isNap(p machine.Process) bool {
	return len(p.Args) == 2 && p.Args[0] == "sleep" && p.Args[1] == packages.Nap
}

// drive runs a frontend in a machine in one way.
type drive func(*testing.T, *machine.Machine, frontend) machine.Result

// unasked runs the frontend without a question.
func unasked(t *testing.T, m *machine.Machine, f frontend) machine.Result {
	return m.Run(t, f.quiet())
}

// answered runs the frontend on pipes and answers its question.
func answered(answer string) drive {
	return func(t *testing.T, m *machine.Machine, f frontend) machine.Result {
		return m.Run(t, f.question(f.first+answer))
	}
}

// interruptedAtPrompt types Ctrl-C at the frontend's question.
func interruptedAtPrompt(t *testing.T, m *machine.Machine, f frontend) machine.Result {
	term := m.Terminal(t, 24, 80, f.question(""))
	term.Expect(t, `\[Y/n`)
	term.Send(t, "\x03")
	return term.Wait(t)
}

// interruptedInNap types Ctrl-C while a maintainer script sleeps.
func interruptedInNap(t *testing.T, m *machine.Machine, f frontend) machine.Result {
	term := m.Terminal(t, 24, 80, f.quiet())
	m.Find(t, "the maintainer script", isNap)
	term.Send(t, "\x03")
	return term.Wait(t)
}

// killedInNap kills a process while a maintainer script sleeps.
func killedInNap(what string, victim func(frontend) func(machine.Process) bool) drive {
	return func(t *testing.T, m *machine.Machine, f frontend) machine.Result {
		run := m.Start(t, f.quiet())
		m.Find(t, "the maintainer script", isNap)
		m.Kill(t, m.Find(t, what, victim(f)).PID)
		return run.Wait(t)
	}
}

// killed is the drive that kills the frontend itself.
func killed(t *testing.T, m *machine.Machine, f frontend) machine.Result {
	return killedInNap("the frontend", func(f frontend) func(machine.Process) bool { return f.isReal })(t, m, f)
}
