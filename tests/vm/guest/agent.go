package guest

import (
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/apt-be/apt-be/tests/expect"
)

// ErrRebooted reports that a script has no result because the machine booted meanwhile.
var ErrRebooted = errors.New("the machine booted again")

// booted matches the agent's first line. kexec and soft-reboot count as boots.
var booted = regexp.MustCompile(`\x01boot (\S*) (\S*)\x01`)

// Boot describes a boot of the machine.
type Boot struct {
	ID   string // /proc/sys/kernel/random/boot_id: a soft-reboot keeps it
	Root string // the subvolume of "/", such as "/@rootfs"
}

// WaitBoot waits until the machine has booted; after an earlier [Guest.WaitBoot], until
// it has booted again. Services may still be starting: [Guest.Settle].
func (g *Guest) WaitBoot(t T) Boot {
	t.Helper()
	start := time.Now()
	match, err := g.agent.await(bootLimit, booted)
	if err != nil {
		t.Fatalf("the machine has not booted: %v\non its console:\n%s", err, tail(Plain(g.Output()), 8000))
	}
	boot := Boot{ID: match[1], Root: match[2]}
	t.Logf("booted %s (%s) after %.1f s", boot.Root, boot.ID, time.Since(start).Seconds())
	return boot
}

// NextBoot blocks until the machine has booted again, and returns false if the
// machine ends first.
func (g *Guest) NextBoot() bool {
	for {
		_, err := g.agent.await(bootLimit, booted)
		var missing *expect.Error
		if !errors.As(err, &missing) {
			return err == nil
		}
		if missing.Limit == 0 {
			return false
		}
	}
}

// Settle waits until no service is starting, and returns systemd's word for the state
// of the machine: "running" if no service has failed.
func (g *Guest) Settle(t T) string {
	t.Helper()
	return strings.TrimSpace(g.Run(t, "systemctl is-system-running --wait").Output)
}

// Reboot shuts the machine down, boots it again, and waits for the boot.
func (g *Guest) Reboot(t T) Boot {
	t.Helper()
	before := g.Shell(t, "cat /proc/sys/kernel/random/boot_id")
	g.Begin(t, "systemctl reboot")
	boot := g.WaitBoot(t)
	if boot.ID+"\n" == before {
		t.Fatalf("the machine was told to reboot and still has boot id %s", boot.ID)
	}
	return boot
}

// Result is the result of a command.
type Result struct {
	Status int    // as the shell reports it
	Output string // of stdout and stderr, in order
}

// Run runs a shell script in the booted machine, and waits for it. The script has no
// terminal and no standard input.
func (g *Guest) Run(t T, script string) Result {
	t.Helper()
	result, err := g.Try(t, script)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return result
}

// Try is [Guest.Run] for a script that may be killed. The error is [ErrRebooted] if the
// machine booted meanwhile, and [Guest.WaitBoot] still sees that boot. Other errors:
// there was no answer in time, or the power was cut.
func (g *Guest) Try(t T, script string) (Result, error) {
	t.Helper()
	start := time.Now()
	g.Begin(t, script)
	number := strconv.Itoa(g.commands)
	// The second alternative is not consumed: WaitBoot needs it.
	answer := regexp.MustCompile(`(?s)\x01begin ` + number + `\x01(.*?)\x01(?:end ` + number + ` (\d+)\x01|boot )`)
	match, err := g.agent.await(commandLimit, answer)
	if err != nil {
		return Result{}, fmt.Errorf("no result of %q: %w\non the console:\n%s", script, err, tail(Plain(g.Output()), 8000))
	}
	if match[2] == "" {
		g.agent.output.Unread("\x01boot ")
		return Result{Output: match[1]}, fmt.Errorf("no result of %q: %w", script, ErrRebooted)
	}
	status, err := strconv.Atoi(match[2])
	if err != nil {
		return Result{}, err
	}
	t.Logf("# %s\n%s[status %d, %.1f s]", script, match[1], status, time.Since(start).Seconds())
	return Result{Status: status, Output: match[1]}, nil
}

// Begin runs a shell script in the machine without waiting for it.
func (g *Guest) Begin(t T, script string) {
	t.Helper()
	g.commands++
	g.agent.Send(t, strconv.Itoa(g.commands)+" "+base64.StdEncoding.EncodeToString([]byte(script))+"\n")
}

// Shell runs a shell script, fails the test if the script fails, and returns its
// output.
func (g *Guest) Shell(t T, script string) string {
	t.Helper()
	result := g.Run(t, script)
	if result.Status != 0 {
		t.Fatalf("%s: status %d:\n%s", script, result.Status, result.Output)
	}
	return result.Output
}
