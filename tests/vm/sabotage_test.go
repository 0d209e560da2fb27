package vm_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
)

// sabotage is a way to break a boot environment called bad.
type sabotage struct {
	name   string
	script string // runs after the activation; ROOT is the mount point of bad
	early  string // runs before the activation
	kind   string // the kind of the recorded fault
	reason string // a part of the fault's text
	// level is the lowest level with a fallback.
	level string
}

// earlyScript makes each kernel of bad run a script first.
func earlyScript(body string) string {
	return `apt-be run bad -- sh -c 'printf "#!/bin/sh\n` + body + `\n" >/etc/initramfs-tools/scripts/init-top/000-bad
		chmod +x /etc/initramfs-tools/scripts/init-top/000-bad && update-initramfs -u -k all'`
}

var sabotages = []sabotage{
	{name: "initrd missing", script: "rm ROOT/boot/initrd.img-*", kind: "initrd-missing", reason: "initrd", level: "initramfs"},
	{name: "kernel panic", early: earlyScript("echo c >/proc/sysrq-trigger"), kind: "kernel", reason: "kernel", level: "kernel"},
	{name: "init hangs", script: `rm ROOT/sbin/init && printf '#!/bin/sh\nexec sleep infinity\n' >ROOT/sbin/init && chmod +x ROOT/sbin/init`, kind: "init", reason: "init", level: "initramfs"},
	{name: "health check", script: `mkdir -p ROOT/etc/apt-be/health.d && printf '#!/bin/sh\necho it is not well\nexit 1\n' >ROOT/etc/apt-be/health.d/50-bad && chmod +x ROOT/etc/apt-be/health.d/50-bad`, kind: "health", reason: "50-bad: it is not well", level: "initramfs"},
	{name: "sshd", script: "echo 'NoSuchOption yes' >>ROOT/etc/ssh/sshd_config", kind: "health", reason: "ssh.service", level: "initramfs"},
}

// inBad returns a script that runs another one with bad mounted at ROOT.
func inBad(script string) string {
	return "mkdir -p /tmp/bad && apt-be mount -w bad /tmp/bad && (" + strings.ReplaceAll(script, "ROOT", "/tmp/bad") + ") && apt-be unmount bad"
}

// called returns the sabotage with a name.
func called(name string) sabotage {
	return sabotages[slices.IndexFunc(sabotages, func(s sabotage) bool { return s.name == name })]
}

// TestSabotage breaks a boot environment in five ways. Each time, the machine falls
// back without a user and reports why, or doctor has reported before that it would not.
func TestSabotage(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	for _, recipe := range []string{image.UEFIGRUB, image.BIOSGRUB} {
		t.Run(recipe, func(t *testing.T) {
			t.Parallel()
			l := layouts[recipe]
			g := prepared(t, recipe).Start(t, guest.Options{})
			wantBoot(t, g.WaitBoot(t), l.root)
			g.Settle(t)
			doctor := g.Shell(t, "apt-be doctor")
			for _, s := range sabotages {
				t.Run(s.name, func(t *testing.T) { testSabotage(t, g, l, s, doctor) })
				if t.Failed() {
					return // the machine may be anywhere
				}
			}
			g.PowerOff(t)
		})
	}
}

func testSabotage(t *testing.T, g *guest.Guest, l layout, s sabotage, doctor string) {
	covered := s.level == "initramfs" || l.level == "kernel"
	if !covered {
		contains(t, "doctor", doctor, "not covered: a kernel or initrd of the new system that is missing, hangs or panics")
		if s.script != "" {
			testNoFallback(t, g)
		}
		return
	}
	seconds := 240
	if s.kind == "init" {
		seconds = 30 // only the watchdog ends this one, a minute later
	}
	shorten(t, g, seconds)
	g.Shell(t, "apt-be create bad")
	if s.early != "" {
		g.Shell(t, s.early)
	}
	g.Shell(t, "apt-be activate bad")
	if s.script != "" {
		g.Shell(t, inBad(s.script))
	}
	wantRunning(t, g, l.name, "bad")
	g.Begin(t, "systemctl reboot")
	boot := g.WaitBoot(t)
	if boot.Root == "/@be/bad" { // it booted, and shuts down again
		boot = g.WaitBoot(t)
	}
	wantBoot(t, boot, l.root)
	g.Settle(t)
	wantFellBack(t, g, l.name, s.kind, s.reason)
	if s.kind == "health" {
		contains(t, "the journal that was kept", g.Shell(t, "cat /var/lib/apt-be/failed/*/journal.txt"), "apt-be-boot.service")
	}
	if result := g.Run(t, "apt-be activate bad"); result.Status != 12 {
		t.Errorf("activate of what failed back ends with %d", result.Status)
	}
	g.Shell(t, "apt-be status --acknowledge && apt-be status && test ! -e /run/motd.d/apt-be && apt-be destroy bad")
}

// testNoFallback uses an initrd that would not end its trial, with a boot loader that
// would not either: the environment is not tried.
func testNoFallback(t *testing.T, g *guest.Guest) {
	t.Helper()
	g.Shell(t, "apt-be create bad && apt-be run bad -- sh -c 'rm /usr/share/initramfs-tools/scripts/local-premount/apt-be && update-initramfs -u -k all'")
	result := g.Run(t, "apt-be activate bad")
	if result.Status != 12 {
		t.Errorf("activate ends with %d", result.Status)
	}
	contains(t, "activate", result.Output, "its initrd has no scripts of apt-be", "--accept-risk no-fallback")
	g.Shell(t, "apt-be status && apt-be destroy bad")
}

// wantFellBack checks that the machine fell back from bad to a named environment, and
// reports why.
func wantFellBack(t *testing.T, g *guest.Guest, name, kind, reason string) {
	t.Helper()
	got := wantRunning(t, g, name, name)
	if got.Exit != 14 || len(got.FellBack) != 1 {
		t.Fatalf("status ends with %d, and has %+v", got.Exit, got.FellBack)
	}
	e := got.FellBack[0]
	if e.Name != "bad" || e.State != "fell-back" || e.Trial == nil || e.Trial.Fault == nil || e.Trial.Fault.Kind != kind || !strings.Contains(e.Reason, reason) {
		t.Errorf("failed back: %+v, fault %+v; want %s", e, e.Trial, kind)
	}
	contains(t, "motd", g.Shell(t, "cat /run/motd.d/apt-be"), "fell back from bad")
}
