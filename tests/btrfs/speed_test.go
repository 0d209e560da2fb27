package btrfs_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// testSpeed installs a kernel whose scripts report their environment.
func testSpeed(t *testing.T, l lab) {
	const (
		kernel  = "9.9-bt"
		patched = "/usr/lib/dpkg-skip-unchanged/run"
		preload = "/usr/lib/apt-be/sandbox/bin/skip-unchanged"
	)
	deb := packages.Exact{
		Name: "bt-kernel", Version: "1", Time: time.Unix(1e9, 0),
		Members: []packages.Member{
			{Name: "/boot/vmlinuz-" + kernel, Content: []byte("kernel")},
			{Name: "/lib/modules/" + kernel + "/modules.dep"},
		},
		// Syncing /dev/null fails.
		Control: map[string]string{"postinst": `#!/bin/sh
set -e
update-initramfs -c -k ` + kernel + ` -b /boot
update-initramfs -u
update-initramfs -d -k 1.0-gone
if dd if=/dev/zero of=/dev/null count=1 conv=fsync 2>/dev/null; then
	echo nothing is synced >/var/log/bt-sync
else
	echo synced >/var/log/bt-sync
fi
ls /run/apt-be/ahead >/var/log/bt-ahead 2>&1 || true
`},
	}
	tests := []struct {
		name, options string
		broken        bool // the initramfs cannot be built
		state         string
		initramfs     string // the calls of the real update-initramfs
		sync          string
		ahead         bool
		dpkgs         []string // replacements for dpkg, which are installed
		dpkg          string   // the replacement that ran
	}{
		{
			name: "all", state: "ready", sync: "nothing is synced", ahead: true,
			initramfs: "-d -k 1.0-gone\n-c -k " + kernel + "\n",
		}, {
			name: "patched dpkg", state: "ready", sync: "nothing is synced", ahead: true,
			initramfs: "-d -k 1.0-gone\n-c -k " + kernel + "\n",
			dpkgs:     []string{patched}, dpkg: patched,
		}, {
			name: "preloaded dpkg", state: "ready", sync: "nothing is synced", ahead: true,
			initramfs: "-d -k 1.0-gone\n-c -k " + kernel + "\n",
			dpkgs:     []string{patched, preload}, dpkg: preload,
		}, {
			name: "no dpkg but Debian's", options: "-o Apt-Be::Speed::Skip-Unchanged=no", state: "ready", sync: "nothing is synced", ahead: true,
			initramfs: "-d -k 1.0-gone\n-c -k " + kernel + "\n",
			dpkgs:     []string{patched, preload},
		}, {
			name: "none", options: "-o Apt-Be::Speed=false", state: "ready", sync: "synced",
			initramfs: "-c -k " + kernel + " -b /boot\n-u\n-d -k 1.0-gone\n",
		}, {
			name: "no sync alone", options: "-o Apt-Be::Speed=no -o Apt-Be::Speed::No-Sync=yes", state: "ready", sync: "nothing is synced",
			initramfs: "-c -k " + kernel + " -b /boot\n-u\n-d -k 1.0-gone\n",
		}, {
			name: "an initramfs that fails", broken: true, state: "failed", sync: "nothing is synced", ahead: true,
			initramfs: "-d -k 1.0-gone\n-c -k " + kernel + "\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := l.Start(t, with, running)
			defer l.done(t, m)
			m.WriteFile(t, "/usr/sbin/update-initramfs", `#!/bin/sh
echo "$*" >>/var/log/bt-initramfs
while [ $# -gt 0 ]; do
	case $1 in
	-c) create=yes ;;
	-k) release=$2; shift ;;
	esac
	shift
done
[ -z "$create" ] || [ ! -e /etc/bt-broken ] || exit 3
[ -z "$create" ] || echo initrd >"/boot/initrd.img-$release"
`)
			m.WriteFile(t, "/usr/bin/linux-version", `#!/bin/sh
case $1 in list) ls /lib/modules ;; sort) cat ;; esac
`)
			m.Shell(t, "chmod 755 /usr/sbin/update-initramfs /usr/bin/linux-version")
			if tt.broken {
				m.WriteFile(t, "/etc/bt-broken", "")
			}
			for _, dpkg := range tt.dpkgs {
				m.Shell(t, "mkdir -p "+filepath.Dir(dpkg))
				m.WriteFile(t, dpkg, "#!/bin/sh\necho "+dpkg+" >/var/log/bt-dpkg\nexec /usr/bin/dpkg \"$@\"\n")
				m.Shell(t, "chmod 755 "+dpkg)
			}
			m.WriteFile(t, "/var/log/bt-dpkg", "")
			name, err := deb.Write(m.Path("/srv"))
			if err != nil {
				t.Fatal(err)
			}
			args := append([]string{"apt-be", "install", "--name", "new", "-y"}, strings.Fields(tt.options)...)
			result := m.Run(t, machine.Command{Args: append(args, filepath.Join("/srv", name))})
			if (result.Status == 0) != (tt.state == "ready") {
				t.Errorf("status %d:\n%s", result.Status, result.Output)
			}
			if found := environments(t, m); len(found) != 1 || found[0].State != tt.state {
				t.Fatalf("boot environments %v, want one that is %s:\n%s", found, tt.state, result.Output)
			}
			read := func(file string) string {
				t.Helper()
				data, err := os.ReadFile(m.Image.Path("@be/new/var/log/" + file))
				if err != nil {
					t.Error(err)
				}
				return string(data)
			}
			if got := read("bt-initramfs"); got != tt.initramfs {
				t.Errorf("update-initramfs was called with %q, want %q", got, tt.initramfs)
			}
			if got := strings.TrimSpace(read("bt-sync")); got != tt.sync {
				t.Errorf("fsync: %q, want %q", got, tt.sync)
			}
			if got := read("bt-ahead"); strings.Contains(got, name) != tt.ahead {
				t.Errorf("unpacked ahead: %q, want %t", got, tt.ahead)
			}
			if got := strings.TrimSpace(read("bt-dpkg")); got != tt.dpkg {
				t.Errorf("%q stood for dpkg, want %q", got, tt.dpkg)
			}
			if tt.state != "ready" {
				return
			}
			// An existing environment, which may be booted, is synced as usual.
			if m.Run(t, machine.Command{Args: []string{"apt-be", "run", "new", "--", "dd", "if=/dev/zero", "of=/dev/null", "count=1", "conv=fsync"}}).Status == 0 {
				t.Error("nothing is synced in apt-be run")
			}
			if strings.Contains(m.Shell(t, "apt-be run new -- ls /boot"), ".new") {
				t.Error("a half-built initramfs is left")
			}
		})
	}
}
