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
	command string   // what the user types
	asks    []string // its arguments
	yes     []string // its arguments to run without a question
	program string   // the name of the file that is executed, or interpreted
	first   string   // the answers to what it asks before it asks for consent
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

// question returns the command with its question.
func (f frontend) question(stdin string) machine.Command {
	return machine.Command{Args: append([]string{f.command}, f.asks...), Stdin: stdin}
}

// quiet returns the command without a question.
func (f frontend) quiet() machine.Command {
	return machine.Command{Args: append([]string{f.command}, f.yes...)}
}

// isReal tells the frontend itself, diverted or not, from what stands in its
// place.
func (f frontend) isReal(p machine.Process) bool {
	real := func(name string) bool {
		return strings.TrimSuffix(path.Base(name), ".distrib") == f.program
	}
	interpreted := len(p.Args) > 1 && strings.HasPrefix(path.Base(p.Exe), "python3") && real(p.Args[1])
	return interpreted || real(p.Exe)
}

// isSupervisor tells what stands in the frontend's place.
func (f frontend) isSupervisor(p machine.Process) bool { return p.Runs("/usr/bin/apt-be", f.command) }

// isInit tells the first process of a sandbox.
func isInit(p machine.Process) bool { return p.Runs("/usr/bin/apt-be", "apt-be-sandbox") }

// isNap tells the process that the slow archives wait for.
func isNap(p machine.Process) bool {
	return len(p.Args) == 2 && p.Args[0] == "sleep" && p.Args[1] == packages.Nap
}

// A drive runs a frontend in a machine in some circumstances.
type drive func(*testing.T, *machine.Machine, frontend) machine.Result

// unasked runs it without a question.
func unasked(t *testing.T, m *machine.Machine, f frontend) machine.Result {
	return m.Run(t, f.quiet())
}

// answered runs it on pipes with that for an answer to whether to go on.
func answered(answer string) drive {
	return func(t *testing.T, m *machine.Machine, f frontend) machine.Result {
		return m.Run(t, f.question(f.first+answer))
	}
}

// interruptedAtPrompt types Ctrl-C at its question.
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
