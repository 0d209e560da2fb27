package btrfs_test

import (
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// testSkipRun tests the program that apt runs instead of dpkg. If the root's dpkg has
// the same version, the program runs the patched dpkg; otherwise it runs the root's
// dpkg with the same arguments.
func testSkipRun(t *testing.T, image *machine.Image) {
	defer image.Clear(t, skipBase)
	m := image.Start(t, skipBase, skipRun)
	const (
		run = "/usr/lib/dpkg-skip-unchanged/run"
		// It prints its arguments.
		stub = `cd /root && printf '#!/bin/sh\n[ "$1" != --version ] || { echo "%s"; exit; }\necho stock "$@"\n' "$version" >stub && chmod 755 stub && `
	)
	m.Shell(t, "mkdir /root/lib && cp "+run+" /root/lib/run")
	m.Shell(t, `version=$(/usr/lib/dpkg-skip-unchanged/dpkg --version | head -n 1); `+stub+`mv stub lib/dpkg && sed -i s/stock/patched/ lib/dpkg`)
	for _, c := range []struct{ name, version, want string }{
		{"same version", `$(/usr/lib/dpkg-skip-unchanged/dpkg --version | head -n 1)`, "patched --skip-unchanged --unpack a  b\n"},
		{"another version", "dpkg 9.0", "stock --unpack a  b\n"},
	} {
		m.Shell(t, "version=\""+c.version+"\"; "+stub+"mv stub /usr/bin/dpkg")
		if got := m.Shell(t, "/root/lib/run --unpack 'a  b'"); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	m.Shell(t, "rm /root/lib/dpkg")
	if got := m.Shell(t, "/root/lib/run -i x"); got != "stock -i x\n" {
		t.Errorf("without a patched dpkg: %q", got)
	}
	m.Stop(t)
}
