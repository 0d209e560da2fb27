package btrfs_test

import (
	"fmt"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

func testRedirect(t *testing.T, l lab) {
	for _, args := range [][]string{{"apt-get", "-y", "dist-upgrade"}, {"apt", "-y", "full-upgrade"}, {"aptitude", "-y", "full-upgrade"}, {"unattended-upgrade", "-v"}} {
		for _, v := range []packages.Variant{packages.Good, packages.PostinstFails, packages.PreinstFails} {
			m := l.system(t, plain, running, v)
			r := m.Run(t, machine.Command{Args: args})
			fmt.Println("=====", args, v, r.Status)
			fmt.Println(r.Output)
			fmt.Println(m.Shell(t, "dpkg -l 'bt-*' | tail -n +6; cat /var/lib/bt-trig/seen /run/bt-svc;"))
			l.done(t, m)
		}
	}
	for _, args := range [][]string{{"apt-get", "dist-upgrade"}, {"apt", "full-upgrade"}, {"aptitude", "full-upgrade"}} {
		for _, in := range []string{"", "n\n", "y\n"} {
			m := l.system(t, plain, running, packages.Good)
			r := m.Run(t, machine.Command{Args: args, Stdin: in})
			fmt.Println("=====", args, in, r.Status)
			fmt.Println(r.Output)
			l.done(t, m)
		}
	}
}
