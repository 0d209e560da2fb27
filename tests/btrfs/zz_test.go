package btrfs_test

import (
	"os"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

func testZZ(t *testing.T, l lab) {
	m := l.system(t, with, running, packages.Good)
	defer l.done(t, m)
	m.Shell(t, "apt-be create env")
	old, _ := os.ReadFile("/tmp/w/old/build/apt-be")
	m.WriteFile(t, "/usr/local/bin/old-apt-be", string(old))
	m.Shell(t, "chmod 755 /usr/local/bin/old-apt-be")
	script, _ := os.ReadFile("/tmp/exp/bench.sh")
	t.Logf("%s", m.Shell(t, string(script)))
}
