package btrfs_test

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testNames resolves names in a machine and in the sandbox.
func testNames(t *testing.T, l lab) {
	m := l.Start(t, with, running)
	defer l.done(t, m)
	server := nameServer(t)
	m.Shell(t, "apt-be create env; umount /etc/resolv.conf")
	conf := "nameserver " + server + "\\noptions timeout:1 attempts:1\\n"
	for _, tt := range []struct{ name, script string }{
		{"a file", "printf '" + conf + "' >/etc/resolv.conf"},
		{"systemd-resolved", resolvLink("../run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/stub-resolv.conf", conf)},
		{"NetworkManager", resolvLink("/run/NetworkManager/resolv.conf", "/run/NetworkManager/resolv.conf", conf)},
		{"by /var/run", resolvLink("/var/run/NetworkManager/resolv.conf", "/run/NetworkManager/resolv.conf", conf)},
		{"resolvconf", "mkdir -p /etc/resolvconf; ln -sfn /run/resolvconf /etc/resolvconf/run; " +
			resolvLink("resolvconf/run/resolv.conf", "/run/resolvconf/resolv.conf", conf)},
		{"nsswitch with modules that are not there", "sed -i '/^hosts:/d' /etc/nsswitch.conf; " +
			"echo 'hosts: files mymachines resolve [!UNAVAIL=return] mdns4_minimal [NOTFOUND=return] sss myhostname dns' >>/etc/nsswitch.conf"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m.Shell(t, tt.script+"; apt-be destroy env; apt-be create env")
			const look = "getent ahostsv4 known.example | awk '{ print $1; exit }'; getent hosts unknown.test || echo unknown"
			want := "127.0.0.1\nunknown"
			if got := strings.TrimSpace(m.Shell(t, look)); got != want {
				t.Fatalf("outside: %q, want %q", got, want)
			}
			if got := inside(t, m, look); got != want {
				t.Errorf("inside: %q, want %q", got, want)
			}
		})
	}
	t.Run("an archive by name", func(t *testing.T) { testNamedArchive(t, l, m) })
	testSocketsInside(t, m)
	testLocale(t, m)
}

// resolvLink makes /etc/resolv.conf a link, and creates its target.
func resolvLink(target, file, content string) string {
	return "ln -sf " + target + " /etc/resolv.conf; mkdir -p " + filepath.Dir(file) + "; printf '" + content + "' >" + file
}

// testNamedArchive upgrades from an archive whose name only the name server knows, and
// then from one that only /etc/hosts knows.
func testNamedArchive(t *testing.T, l lab, m *machine.Machine) {
	web := serve(t, m.Path(packages.Dir))
	for _, host := range []string{"archive.example", "archive.invalid"} {
		m.Shell(t, "echo '127.0.0.1 archive.invalid' >>/etc/hosts; apt-be destroy env; apt-get clean")
		m.WriteFile(t, "/etc/apt/sources.list", web.source(host, packages.Good))
		m.Shell(t, "apt-get -q update")
		before, mounts := m.Fingerprint(t), m.Mounts(t)
		result := m.Run(t, machine.Command{Args: []string{"apt-be", "dist-upgrade", "--name", "env", "-y"}})
		if result.Status != 0 {
			t.Errorf("%s: status %d:\n%s", host, result.Status, result.Output)
		}
		checkUntouched(t, m, before, mounts, frontends()[0])
		checkUpgraded(t, l, m, "env")
		if _, uids := web.since(); len(uids) != 1 || uids[0] == "0" {
			t.Errorf("%s: packages were asked for by the users %q, want one that is not root", host, uids)
		}
	}
}

// checkUpgraded checks the newer packages in the only environment.
func checkUpgraded(t *testing.T, l lab, m *machine.Machine, name string) {
	t.Helper()
	found := environments(t, m)
	if len(found) != 1 || found[0].State != "ready" || name != "" && found[0].Name != name {
		t.Errorf("boot environments %v, want one that is ready", found)
		return
	}
	if data, err := os.ReadFile(l.Path("@be/" + found[0].Name + "/usr/share/bt/app")); err != nil || string(data) != "2.0\n" {
		t.Errorf("the environment has %q, %v, want 2.0", data, err)
	}
}

// testSocketsInside has the sockets of name services, and one of nscd, which would
// return the running system's accounts.
func testSocketsInside(t *testing.T, m *machine.Machine) {
	reached := []string{
		"/run/systemd/resolve/io.systemd.Resolve", "/run/avahi-daemon/socket", "/run/nslcd/socket", "/var/lib/sss/pipes/nss",
	}
	for _, path := range append(reached, "/run/nscd/socket") {
		m.Shell(t, "mkdir -p "+filepath.Dir(path))
		listenIn(t, m, path)
	}
	m.Shell(t, "apt-be destroy env; apt-be create env")
	const connect = `python3 -c '
import socket, sys
for path in sys.argv[1:]:
    try:
        socket.socket(socket.AF_UNIX).connect(path); print(path)
    except OSError as error:
        print(path, error.strerror)
' `
	all := append(slices.Clone(reached), "/run/nscd/socket")
	want := append(slices.Clone(reached), "/run/nscd/socket No such file or directory")
	if got := strings.Split(inside(t, m, connect+strings.Join(all, " ")), "\n"); !slices.Equal(got, want) {
		t.Errorf("inside, these can be reached: %q, want %q", got, want)
	}
}

// listenIn listens on a socket of the machine. If this process cannot name the socket's
// path, a process in the machine creates it.
func listenIn(t *testing.T, m *machine.Machine, path string) {
	t.Helper()
	if listener, err := net.Listen("unix", m.Path(path)); err == nil && !strings.HasPrefix(path, "/run/") {
		t.Cleanup(func() { listener.Close() })
		return
	}
	running := m.Start(t, machine.Command{Args: []string{"python3", "-uc", `
import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print("listening")
time.sleep(100000)`, path}})
	running.Expect(t, "listening")
}

// testLocale checks the user's language and time zone inside, and that perl complains
// about a missing locale as often as outside.
func testLocale(t *testing.T, m *machine.Machine) {
	const script = `echo "$LANG $LC_ALL $TZ $(date +%Z)"; perl -e 1 2>&1 | grep -c warning`
	env := []string{"LANG=de_DE.UTF-8", "LC_ALL=xx_XX.UTF-8", "TZ=MST7"}
	native := m.Run(t, machine.Command{Args: []string{"sh", "-c", script}, Env: env})
	result := m.Run(t, machine.Command{Args: []string{"apt-be", "run", "env", "--", "sh", "-c", script}, Env: env})
	if result.Output != native.Output || !strings.HasPrefix(result.Output, "de_DE.UTF-8 xx_XX.UTF-8 MST7 MST\n") {
		t.Errorf("inside %q, outside %q", result.Output, native.Output)
	}
	// libpam-tmpdir makes such a directory.
	tmp := machine.Command{Args: []string{"sh", "-ec", "mkdir -p /tmp/user/0; apt-be run env -- mktemp"}, Env: []string{"TMPDIR=/tmp/user/0"}}
	if result := m.Run(t, tmp); result.Status != 0 || !strings.HasPrefix(result.Output, "/tmp/tmp.") {
		t.Errorf("mktemp with a TMPDIR that is not there inside: status %d, %q", result.Status, result.Output)
	}
}
