package vm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/hostile"
	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// hostileDir is the directory of a hostile package's programs.
const hostileDir = "/usr/lib/bt-hostile"

// tryAll makes all attempts that spare the sandbox, those of a machine and those of
// every sandbox, and writes their results to a file.
const tryAll = `#!/bin/sh
mkdir -p ` + hostile.Results + `
for f in ` + hostileDir + `/trials/*; do
	said=$(timeout --foreground -k 1 30 sh "$f" 2>&1) && verdict=BROKEN || verdict=held
	printf '%s: %s: %s\n' "${f##*/}" "$verdict" "$(printf %s "$said" | tr -c '[:print:]' ' ' | tail -c 200)" >>"$1"
done
` + hostile.Program + ` to "$1" all >/dev/null
echo tried all
`

// hostilePackage builds a package whose scripts attack. Its config script, which
// debconf runs on the terminal, leaves a child behind. The children close debconf's
// pipe, descriptor 3, because debconf would wait for its end.
func hostilePackage(t *testing.T, version string, program []byte) string {
	files := map[string]string{"/usr/share/bt-hostile": version + "\n"}
	if version != "1.0" {
		files[hostile.Program] = string(program)
		files[hostileDir+"/inject"] = inject
		files[hostileDir+"/try"] = tryAll
		for _, a := range trials {
			files[hostileDir+"/trials/"+a.name] = a.script + "\n"
		}
		files["DEBIAN/templates"] = "Template: bt-hostile/none\nType: boolean\nDefault: false\nDescription: nothing\n"
		files["DEBIAN/config"] = "#!/bin/sh\n. /usr/share/debconf/confmodule\ncat >/tmp/inject <<'END'\n" + inject + "END\n" +
			"perl /tmp/inject 600 </dev/null >/dev/null 2>&1 3>&- &\nexit 0\n"
		files["DEBIAN/postinst"] = "#!/bin/sh\n. /usr/share/debconf/confmodule\n" + hostileDir + "/try " + hostile.Results + "/postinst </dev/null >&2 3>&- || true\nexit 0\n"
	}
	return source.Package(t, "bt-hostile", version, files)
}

// hostileMachine is a machine under attack.
type hostileMachine struct {
	*guest.Guest
	name string // the environment with the hostile package
}

// TestHostile has a package attack a running machine with TIOCSTI, systemd and a login
// terminal: by its scripts in an upgrade, and by a command in the resulting
// environment. The running system must be the same afterwards.
func TestHostile(t *testing.T) {
	t.Parallel()
	if !atNight() {
		return
	}
	l := layouts[image.BIOSGRUB]
	g := prepared(t, l.recipe).Start(t, guest.Options{})
	wantBoot(t, g.WaitBoot(t), l.root)
	g.Settle(t)
	m := &hostileMachine{Guest: g}
	program, err := hostile.Build("../..")
	if err != nil {
		t.Fatal(err)
	}
	archive := source.New(t, hostilePackage(t, "1.0", nil))
	archive.Use(t, g)
	g.Shell(t, "apt-get -q -y install bt-hostile")
	attack := filepath.Join(t.TempDir(), "attack")
	if err := os.WriteFile(attack, program, 0o755); err != nil {
		t.Fatal(err)
	}
	g.Put(t, attack, "/root/attack")
	g.Shell(t, prepareHost)
	m.control(t)
	// Modules that a sandbox needs are loaded before the fingerprint.
	g.Shell(t, "apt-be create first && apt-be run first -- true && apt-be destroy first")
	archive.Add(t, hostilePackage(t, "2.0", program))
	g.Shell(t, "apt-get -q update")
	shell := m.login(t)
	g.Shell(t, "mkdir -p /run/bt-fingerprint && cat >/run/bt-fingerprint/look <<'LOOK'\n"+hostFingerprint+"\nLOOK")
	m.look(t, "before")
	m.look(t, "again")
	m.same(t, "before", "again")

	t.Run("upgrade", func(t *testing.T) { m.upgrade(t, shell) })
	if m.name == "" {
		return
	}
	// The upgrade has reached no service. A run has the machine's network until dpkg
	// runs in it, for apt's downloads, so services on localhost may be reached from
	// here on.
	g.Shell(t, "test ! -s /run/bt-victim/contacts && systemctl stop bt-sockets.socket")
	m.look(t, "before")
	t.Run("run without a terminal", func(t *testing.T) {
		m.Shell(t, "apt-be run "+m.name+" -- "+hostileDir+"/try "+hostile.Results+"/run")
		m.judge(t, "run", "localhost", "loopback", "loopback-udp", "loopback-addresses")
		m.unchanged(t, "run")
	})
	t.Run("run on a terminal", func(t *testing.T) {
		m.Send(t, "apt-be run "+m.name+" -- "+hostileDir+"/try "+hostile.Results+"/terminal; echo status=$?\r")
		m.Expect(t, 10*time.Minute, `status=0\s`)
		m.stillThere(t, shell)
		m.judge(t, "terminal", "localhost", "loopback", "loopback-udp", "loopback-addresses")
		m.unchanged(t, "terminal")
	})
	t.Run("alone", func(t *testing.T) { m.alone(t, shell) })
	t.Run("floods", func(t *testing.T) { m.floods(t) })

	// Services can still be started.
	g.Shell(t, "systemctl restart ssh.service bt-victim.service && systemd-run --wait --pipe true && systemctl is-active bt-victim.service ssh.service")
	g.Shell(t, "apt-be deactivate && test ! -e /run/bt-injected")
	wantBoot(t, g.Reboot(t), l.root)
	if state := g.Settle(t); state != "running" {
		t.Errorf("after a reboot the machine is %s:\n%s", state, g.Shell(t, "systemctl --failed --no-legend"))
	}
	g.Shell(t, "systemctl is-active bt-victim.service ssh.service && dpkg-query -W -f '${Version}' bt-hostile | grep -qx 1.0")
	g.PowerOff(t)
}

// control makes the harmless attempts outside. Each must succeed.
func (m *hostileMachine) control(t *testing.T) {
	t.Helper()
	for _, a := range trials {
		if !slices.Contains(controls, a.name) {
			continue
		}
		if result := m.Run(t, "cat >/run/bt-control <<'END'\n"+a.script+"\nEND\nsh /run/bt-control >/run/bt-said 2>&1 || { tail -c 1000 /run/bt-said; exit 1; }"); result.Status != 0 {
			t.Errorf("%s fails outside of a sandbox, too:\n%s", a.name, result.Output)
		}
	}
	m.Shell(t, "losetup -D; for d in proc sys/fs/cgroup; do while umount /tmp/mounted/$d 2>/dev/null; do :; done; done; rm -f /run/bt-control /run/bt-said /var/tmp/bt-*")
}

// login returns the process of the shell on the machine's login terminal.
func (m *hostileMachine) login(t *testing.T) string {
	t.Helper()
	m.Send(t, "\r")
	m.Expect(t, time.Minute, `[#$] $`)
	m.Send(t, "unset PROMPT_COMMAND HISTFILE; export DEBIAN_FRONTEND=readline; PS1='prompt''> '\r")
	m.Expect(t, time.Minute, `prompt> $`)
	return m.shell(t)
}

// shell returns the process ID that the login terminal's shell prints.
func (m *hostileMachine) shell(t *testing.T) string {
	t.Helper()
	m.Send(t, "echo shell=$$ on=$(tty) .\r")
	return m.Expect(t, time.Minute, `shell=(\d+ on=\S+) \.`)[1]
}

// stillThere checks that the same shell runs on the login terminal, and that it ran
// only commands that the test typed.
func (m *hostileMachine) stillThere(t *testing.T, shell string) {
	t.Helper()
	m.Send(t, "\r")
	if got := m.shell(t); got != shell {
		t.Errorf("on the terminal is the shell %s, and was %s", got, shell)
	}
	if m.Run(t, "test -e /run/bt-injected").Status == 0 {
		t.Error("the shell has run what was typed by a script")
		m.Shell(t, "rm /run/bt-injected")
	}
}

// upgrade upgrades as a user would, and returns the output of the scripts.
func (m *hostileMachine) upgrade(t *testing.T, shell string) {
	m.Send(t, "apt-get -y dist-upgrade; echo status=$?\r")
	shown := m.Expect(t, 20*time.Minute, `(?s).*status=(\d+)\s`)
	if shown[1] != "0" {
		t.Errorf("the upgrade ends with %s:\n%s", shown[1], guest.Plain(shown[0]))
	}
	m.stillThere(t, shell)
	s := statusOf(t, m.Guest)
	if len(s.Pending) != 1 {
		t.Fatalf("after the upgrade: %+v\n%s", s, guest.Plain(shown[0]))
	}
	m.name = s.Pending[0].Name
	m.judge(t, "postinst")
	m.unchanged(t, "upgrade")
}

// judge checks the results of a run's attempts. The named ones may succeed.
func (m *hostileMachine) judge(t *testing.T, run string, allowed ...string) {
	t.Helper()
	said := m.Shell(t, "apt-be mount "+m.name+" /mnt >/dev/null && cat /mnt"+hostile.Results+"/"+run+"; apt-be unmount "+m.name+" >/dev/null")
	verdicts := verdictLine.FindAllStringSubmatch(said, -1)
	want := len(trials)
	for _, a := range hostile.Attempts() {
		if !a.Alone {
			want++
		}
	}
	if len(verdicts) != want {
		t.Errorf("there are verdicts on %d attempts of %d:\n%s", len(verdicts), want, said)
	}
	for _, v := range verdicts {
		if hostile.Outcome(v[2]) == hostile.Broken && !slices.Contains(allowed, v[1]) {
			t.Errorf("%s reached the running system: %s", v[1], v[3])
		}
	}
}

// verdictLine matches a line of tryAll.
var verdictLine = regexp.MustCompile(`(?m)^(\S+): (held|did|BROKEN): (.*)$`)

// alone makes the attempts that need a run of their own, on the login terminal.
func (m *hostileMachine) alone(t *testing.T, shell string) {
	walls := []string{"pid1", "limits", "supervisor", "terminal"} // the walls that concern systemd and a login
	for _, a := range hostile.Attempts() {
		if !a.Alone || !slices.Contains(walls, a.Wall) {
			continue
		}
		start := time.Now()
		m.Send(t, "apt-be run "+m.name+" -- "+hostile.Program+" one "+a.Name+"; echo status=$?\r")
		m.Expect(t, 10*time.Minute, `status=\d+\s`)
		t.Logf("%s took %.1f s", a.Name, time.Since(start).Seconds())
		m.stillThere(t, shell)
	}
	m.unchanged(t, "alone")
}

// look stores the machine's fingerprint under a name.
func (m *hostileMachine) look(t *testing.T, name string) {
	t.Helper()
	m.Shell(t, "cd /run/bt-fingerprint && sh look >"+name+" 2>&1; wc -l <"+name)
}

// same compares two fingerprints.
func (m *hostileMachine) same(t *testing.T, before, after string) {
	t.Helper()
	result := m.Run(t, "cd /run/bt-fingerprint && diff "+before+" "+after+" | head -c 20000")
	if strings.TrimSpace(result.Output) != "" {
		t.Errorf("the running system has changed, %s (<) and %s (>):\n%s", before, after, result.Output)
	}
}

// unchanged checks that the machine has the fingerprint from before the attempts.
func (m *hostileMachine) unchanged(t *testing.T, name string) {
	t.Helper()
	m.look(t, name)
	m.same(t, "before", name)
}

// floods are commands that leave many processes or files behind, or use many resources.
var floods = []trial{
	{"2000 processes", `i=0; while [ $i -lt 2000 ]; do setsid sleep 1000 & i=$((i + 1)); done; date +forked=%s.%N`},
	{"fork bomb", `trap "" TERM HUP; bomb() { bomb | bomb & }; bomb & sleep 30; date +forked=%s.%N`},
	{"memory", `tail /dev/zero; date +forked=%s.%N`},
}

// floods runs each of them while the machine must keep working, and logs the time until
// its end.
func (m *hostileMachine) floods(t *testing.T) {
	for _, f := range floods {
		t.Run(f.name, func(t *testing.T) {
			m.Shell(t, fmt.Sprintf("cat >/run/bt-flood <<'END'\n%s\nEND\nsystemd-run -q --unit=bt-flood --property=TasksMax=infinity --property=StandardOutput=file:/run/bt-flood.log --property=StandardError=inherit "+
				"sh -c 'apt-be run %s -- sh -c \"$(cat /run/bt-flood)\"; echo status=$? $(date +ended=%%s.%%N)'", f.script, m.name))
			// Meanwhile, the machine starts processes of its own.
			m.Shell(t, "for i in $(seq 20); do sh -c 'sleep 0.1; true | true' || exit; done; systemctl is-active bt-victim.service")
			said := m.Shell(t, `for i in $(seq 600); do ! grep -q ended= /run/bt-flood.log || break; sleep 0.5; done; tail -c 2000 /run/bt-flood.log; grep -q ended= /run/bt-flood.log
! pgrep -f 'sleep 1000'; systemctl reset-failed bt-flood.service 2>/dev/null; rm -f /run/bt-flood /run/bt-flood.log`)
			var forked, ended float64
			if found := regexp.MustCompile(`forked=([\d.]+)`).FindStringSubmatch(said); found != nil {
				_, _ = fmt.Sscan(found[1], &forked)
			}
			if found := regexp.MustCompile(`ended=([\d.]+)`).FindStringSubmatch(said); found != nil {
				_, _ = fmt.Sscan(found[1], &ended)
			}
			if forked > 0 {
				t.Logf("the end took %.2f s", ended-forked)
			}
			m.unchanged(t, "flood")
		})
	}
}
