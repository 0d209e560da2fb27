// Boot boots a machine of tests/vm and shows its console, to work in it:
//
//	go run ./tests/vm/boot [-plain] RECIPE [SCRIPT...]
//
// Each SCRIPT is run in the machine after it has booted, before the console is
// shown. "reboot" boots again, "wait" waits for a boot that a script has caused,
// "menu:TEXT" chooses an entry of GRUB's menu by then, "put:FILE:NAME" copies a
// file into the machine, "kill" cuts the power and boots again, "end" ends it
// all there. With -plain, apt-be is not installed. Ctrl-] ends the machine. What
// was written to its disk is lost.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

func main() {
	plain := flag.Bool("plain", false, "without apt-be")
	memory := flag.Int("m", 0, "memory in MiB")
	flag.Usage = func() {
		fmt.Fprintf(flag.CommandLine.Output(), "usage: boot [-plain] [-m MIB] RECIPE [SCRIPT|reboot|wait|menu:TEXT|put:FILE:NAME|kill|end]...\nrecipes: %q\n", image.Recipes())
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	t := &terminal{}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	go func() {
		<-interrupts
		t.Fatalf("interrupted")
	}()
	make := image.Installed
	if *plain {
		make = image.Build
	}
	disk := make(t, flag.Arg(0)).Disk(t)
	options := guest.Options{Memory: *memory}
	g := guest.Start(t, disk, options)
	g.WaitBoot(t)
	for _, script := range flag.Args()[1:] {
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

// interact connects the console with the terminal, until Ctrl-] or the end.
func (t *terminal) interact(g *guest.Guest) {
	t.Logf("Ctrl-] ends the machine.")
	if stty("raw", "-echo") {
		t.Cleanup(func() { stty("sane") })
	}
	go func() {
		buffer := make([]byte, 256)
		for {
			n, err := os.Stdin.Read(buffer)
			for i, c := range buffer[:n] {
				if c == 0x1d {
					t.End(0)
				}
				g.Send(t, string(buffer[i:i+1]))
			}
			if err != nil {
				return
			}
		}
	}()
	g.Follow(os.Stdout)
}

// stty tells whether it could set up the terminal: standard input may be none.
func stty(args ...string) bool {
	cmd := exec.Command("stty", args...)
	cmd.Stdin, cmd.Stderr = os.Stdin, io.Discard
	return cmd.Run() == nil
}
