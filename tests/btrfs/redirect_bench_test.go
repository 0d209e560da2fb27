package btrfs_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// BenchmarkRedirect measures the time that apt-be adds to a run of apt-get. Each pair
// of runs is one apt-get in a chroot in an existing snapshot, and one with apt-be. The
// figure is the median of the differences.
func BenchmarkRedirect(b *testing.B) {
	for _, recipe := range []string{"oldstable", "stable", "server"} {
		b.Run(recipe, func(b *testing.B) {
			l := newLab(b, recipe)
			if recipe == "server" {
				knowDebian(b, l)
			}
			for _, c := range []struct {
				name    string
				archive packages.Variant
				command string
			}{
				{"nothing-new", packages.Empty, "apt-get -y dist-upgrade"},
				{"upgrade", packages.Good, "apt-get -y dist-upgrade"},
				// Most of dpkg's time is for syncs, which the sandbox suppresses.
				{"upgrade-unsafe-io", packages.Good, "apt-get -y -o DPkg::Options::=--force-unsafe-io dist-upgrade"},
			} {
				b.Run(c.name, func(b *testing.B) {
					comparePairs(b, func(template, root string) float64 {
						m := l.system(b, template, root, c.archive)
						defer l.done(b, m)
						return elapsed(b, m, 1, c.command)
					})
				})
			}
			for _, command := range []string{"apt-get --version", "apt-get -y install bt-app"} {
				b.Run(strings.ReplaceAll("passed/"+command, " ", "_"), func(b *testing.B) {
					m := l.system(b, with, running, packages.Empty)
					defer l.done(b, m)
					comparePairs(b, func(template, _ string) float64 {
						if template == plain {
							return elapsed(b, m, 10, "/usr/bin/apt-get.distrib"+strings.TrimPrefix(command, "apt-get"))
						}
						return elapsed(b, m, 10, command)
					})
				})
			}
		})
	}
}

// knowDebian gives both templates Debian's own package lists, as on a real machine,
// and pins these packages so that none of them is upgraded.
func knowDebian(b *testing.B, l lab) {
	b.Helper()
	for _, template := range []string{plain, with} {
		m := l.Boot(b, template)
		m.WriteFile(b, "/etc/apt/sources.list.d/debian.list", l.sources(b, "OLDSTABLE"))
		m.WriteFile(b, "/etc/apt/preferences.d/debian", "Package: *\nPin: release l=Debian*\nPin-Priority: 99\n")
		m.Shell(b, "apt-get -q update")
		m.Stop(b)
	}
}

// comparePairs measures a command without and with apt-be, alternately. It reports
// milliseconds.
func comparePairs(b *testing.B, measure func(template, root string) float64) {
	var native, added []float64
	for b.Loop() {
		without := measure(plain, "@native")
		native = append(native, without)
		added = append(added, measure(with, running)-without)
	}
	b.ReportMetric(median(native), "native-ms")
	b.ReportMetric(median(added), "added-ms")
	b.ReportMetric(0, "ns/op")
	b.Logf("added: %.0f", added)
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// elapsed runs a command a number of times and returns the milliseconds of one run.
func elapsed(b *testing.B, m *machine.Machine, times int, command string) float64 {
	b.Helper()
	script := fmt.Sprintf("sync; begin=$(date +%%s%%N); for i in $(seq %d); do %s >/run/said 2>&1; done; echo $(($(date +%%s%%N) - begin))",
		times, command)
	nanoseconds, err := strconv.ParseFloat(strings.TrimSpace(m.Shell(b, script)), 64)
	if err != nil {
		b.Fatal(err)
	}
	return nanoseconds / 1e6 / float64(times)
}
