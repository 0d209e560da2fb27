package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// quiet is the time for which the page must be available before a measurement, and for
// which it is watched afterwards.
const quiet = 5 * time.Second

// begin waits until a machine that was switched on is idle.
func begin(t guest.T, g *guest.Guest) guest.Boot {
	t.Helper()
	boot := g.WaitBoot(t)
	if state := g.Settle(t); state != "running" {
		t.Fatalf("the machine is %s", state)
	}
	return boot
}

// watch requests the page while work runs. The machine must not reboot.
func watch(t guest.T, g *guest.Guest, work func()) Phase {
	t.Helper()
	p := poll("http://" + g.Address(web) + "/")
	time.Sleep(quiet)
	whole := Span{From: p.now()}
	work()
	length := p.now() - whole.From
	time.Sleep(quiet)
	whole.To = p.now()
	samples := p.end()
	if spans, _ := outages(within(samples, Span{0, whole.From})); len(spans) > 0 {
		t.Fatalf("the page was not there before anything was done: %v", spans)
	}
	samples = within(samples, whole)
	spans, ended := outages(samples)
	if !ended {
		t.Fatalf("the page is not there any more: %v", spans)
	}
	t.Logf("%d requests in %v, outages %v", len(samples), length, spans)
	return Phase{Length: length, Outages: spans, Slowest: slowest(samples)}
}

// ahead returns the difference between the machine's clock and this one's.
func ahead(t guest.T, g *guest.Guest) time.Duration {
	t.Helper()
	sent := time.Now()
	said := strings.TrimSpace(g.Shell(t, "date +%s.%N"))
	middle := sent.Add(time.Since(sent) / 2)
	whole, fraction, _ := strings.Cut(said, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	nanoseconds, err2 := strconv.ParseInt(fraction, 10, 64)
	if err != nil || err2 != nil {
		t.Fatalf("cannot read the machine's clock: %q", said)
	}
	return time.Unix(seconds, nanoseconds).Sub(middle)
}

// fingerprint returns a hash of the inode, size, mode and change time of every file of
// the running system, and of dpkg's database. No program can set the change time, so
// any change changes the hash.
func fingerprint(t guest.T, g *guest.Guest) string {
	t.Helper()
	return strings.TrimSpace(g.Shell(t, `find /usr /etc /var/lib/dpkg -xdev -printf '%p %i %s %m %C@\n' | LC_ALL=C sort | sha256sum`))
}

// wantNext checks that all packages have their next version and are completely
// installed.
func wantNext(t guest.T, g *guest.Guest, next []string) {
	t.Helper()
	upgraded := strings.Fields(g.Shell(t, `dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev} ${Version}\n' | grep -c '^ii .*`+source.NextSuffix+`$'`))
	if len(upgraded) != 1 || upgraded[0] != fmt.Sprint(len(next)) {
		t.Fatalf("the new system has %v packages of %d", upgraded, len(next))
	}
}

// stale counts the processes that run deleted programs or libraries, and all processes
// that run programs from files.
func stale(t guest.T, g *guest.Guest) (old, all int) {
	t.Helper()
	said := g.Shell(t, `old=0 all=0
		for maps in /proc/[0-9]*/maps; do
			grep -q ' /usr/' "$maps" 2>/dev/null || continue
			all=$((all + 1))
			! grep -q ' /usr/.*(deleted)$' "$maps" || old=$((old + 1))
		done
		echo $old $all`)
	if _, err := fmt.Sscan(said, &old, &all); err != nil {
		t.Fatalf("cannot count processes: %q", said)
	}
	return old, all
}
