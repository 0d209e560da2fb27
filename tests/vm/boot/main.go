// Boot boots a virtual machine of tests/vm and connects its console with the
// terminal:
//
//	go run ./tests/vm/boot [-plain] [-m MIB] RECIPE [SCRIPT...]
//	go run ./tests/vm/boot [-m MIB] -scenario SCENARIO [SCRIPT...]
//
// A SCENARIO is the name of a test, such as upgrade/bios-grub: the machine is in
// the state in which that test begins. Each SCRIPT runs in the machine after the
// boot, before the console is connected. These words are not scripts: "reboot"
// boots again, "wait" blocks until a boot that a script caused, "menu:TEXT"
// chooses an entry of GRUB's menu, "put:FILE:NAME" copies a file into the
// machine, "kill" cuts the power and boots again, "end" ends the machine. With
// -plain, apt-be is not installed. Ctrl-D in the machine's shell, Ctrl-] and
// poweroff end the machine. The disk is deleted then.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

func main() {
	plain := flag.Bool("plain", false, "without apt-be")
	memory := flag.Int("m", 0, "memory in MiB")
	name := flag.String("scenario", "", "the test whose first state the machine has")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: boot [-plain] [-m MIB] RECIPE|-scenario SCENARIO [SCRIPT|reboot|wait|menu:TEXT|put:FILE:NAME|kill|end]...\nrecipes: %q\nscenarios:\n%s", image.Recipes(), list())
	}
	flag.Parse()
	scripts := flag.Args()
	if *name == "" && len(scripts) == 0 {
		flag.Usage()
		os.Exit(2)
	}
	t := &terminal{}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-interrupts
		t.Fatalf("interrupted")
	}()
	options := guest.Options{Memory: *memory}
	var g *guest.Guest
	var disk guest.Disk
	if *name != "" {
		s, recipe, err := find(*name)
		if err != nil {
			t.Fatalf("cannot boot: %v", err)
		}
		g, disk = s.boot(t, recipe, options)
	} else {
		make := image.Installed
		if *plain {
			make = image.Build
		}
		disk = make(t, scripts[0]).Disk(t)
		scripts = scripts[1:]
		g = guest.Start(t, disk, options)
		g.WaitBoot(t)
	}
	for _, script := range scripts {
		word, rest, _ := strings.Cut(script, ":")
		switch word {
		case "reboot":
			g.Reboot(t)
		case "wait":
			g.WaitBoot(t)
		case "menu":
			g.Choose(t, rest)
		case "put":
			file, name, _ := strings.Cut(rest, ":")
			g.Put(t, file, name)
		case "kill":
			g.Kill(t)
			g = guest.Start(t, disk, options)
			g.WaitBoot(t)
		case "end":
			t.End(0)
		default:
			if _, err := g.Try(t, script); err != nil {
				t.Logf("%v", err)
			}
		}
	}
	t.interact(g)
	t.End(0)
}

// terminal is a session that can connect the console with the user's terminal.
type terminal struct{ guest.Session }

// endWithShell makes systemd switch the machine off when the shell on the console
// ends, except if that is part of a shutdown. /run is empty after the next boot.
const endWithShell = `set -e
dir=/run/systemd/system/serial-getty@ttyS0.service.d
mkdir -p $dir
cat >$dir/end.conf <<'END'
[Service]
ExecStopPost=/bin/sh -c '[ "$(systemctl is-system-running)" = stopping ] || systemctl poweroff --force --force'
END
systemctl daemon-reload`

// prompt matches the prompt of root's shell.
const prompt = `# (\x1b\[[0-9;?]*[a-z])*$`

// interact connects the console with the terminal until the machine ends.
func (t *terminal) interact(g *guest.Guest) {
	g.Shell(t, endWithShell)
	// A return makes the shell repeat its prompt, if the shell is already there.
	g.Send(t, "\r")
	g.Expect(t, 5*time.Minute, prompt)
	t.Logf("Ctrl-D, poweroff or Ctrl-] ends the machine; its disk is deleted then.")
	if stty("raw", "-echo") {
		t.Cleanup(func() { stty("sane") })
	}
	go t.againAfterBoot(g)
	go t.typeInput(g)
	g.Follow(os.Stdout)
}

// againAfterBoot applies endWithShell after each further boot.
func (t *terminal) againAfterBoot(g *guest.Guest) {
	for g.NextBoot() {
		_, _ = g.Try(t, endWithShell)
	}
}

// typeInput types standard input into the console. Its end is a Ctrl-D.
func (t *terminal) typeInput(g *guest.Guest) {
	buffer := make([]byte, 256)
	for {
		n, err := os.Stdin.Read(buffer)
		for _, c := range buffer[:n] {
			if c == 0x1d {
				t.End(0)
			}
			g.Send(t, string([]byte{c}))
		}
		if err != nil {
			g.Send(t, "\x04")
			return
		}
	}
}

// stty reports whether stty could set the terminal. It fails if standard input is
// not a terminal.
func stty(args ...string) bool {
	cmd := exec.Command("stty", args...)
	cmd.Stdin, cmd.Stderr = os.Stdin, io.Discard
	return cmd.Run() == nil
}
