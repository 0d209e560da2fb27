package main

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/apt-be/apt-be/tests/vm/guest"
	"github.com/apt-be/apt-be/tests/vm/image"
	"github.com/apt-be/apt-be/tests/vm/source"
)

// web is the machine's port for the page.
const web = 80

// Phase is a part of a way, watched from outside.
type Phase struct {
	Length  time.Duration // from the command to the end of its effects
	Outages []Span        // since the command
	Slowest time.Duration // of the answers
}

// Way is a way from the old system to the new one, with its cost.
type Way struct {
	Name    string
	Upgrade Phase
	Switch  Phase // from the command that switches to the end of the trial
	Mixed   Span  // the period in which the running system had old and new parts, since the start of the upgrade
	// Stale are the processes that ran deleted (old) files at the end. Processes are
	// all processes.
	Stale, Processes int
}

// upgrade is the administrator's command.
const upgrade = "apt-get -q -y dist-upgrade"

// inPlace upgrades the running system without apt-be.
func inPlace(t guest.T, server image.Image, next []string) Way {
	t.Helper()
	g := server.Start(t, guest.Options{Ports: []int{web}})
	begin(t, g)
	source.New(t, next...).Use(t, g)
	g.Shell(t, "truncate -s 0 /var/log/dpkg.log")
	way := Way{Name: "in place"}
	var began time.Time
	way.Upgrade = watch(t, g, func() {
		began = time.Now()
		g.Shell(t, strings.Replace(upgrade, "apt-get", "apt-get -o Apt-Be::Redirect=false", 1))
	})
	ahead := ahead(t, g)
	from, to, err := changing(g.Shell(t, "cat /var/log/dpkg.log"))
	if err != nil {
		t.Fatalf("%v", err)
	}
	way.Mixed = Span{from.Add(-ahead).Sub(began), to.Add(-ahead).Sub(began)}
	wantNext(t, g, next)
	way.Stale, way.Processes = stale(t, g)
	g.Kill(t)
	return way
}

// redirected is a machine with an upgrade in a boot environment. It is switched off.
type redirected struct {
	disk    guest.Disk
	name    string // of the environment
	upgrade Phase
	files   string // the fingerprint of the old system's files
	next    []string
}

// redirect upgrades with apt-be, and leaves the machine so that the old system boots.
func redirect(t guest.T, server image.Image, next []string) redirected {
	t.Helper()
	r := redirected{disk: server.Disk(t), next: next}
	g := guest.Start(t, r.disk, guest.Options{Ports: []int{web}})
	begin(t, g)
	source.New(t, next...).Use(t, g)
	r.files = fingerprint(t, g)
	r.upgrade = watch(t, g, func() { g.Shell(t, upgrade) })
	r.unchanged(t, g)
	var status struct{ Pending []struct{ Name string } }
	if err := json.Unmarshal([]byte(g.Run(t, "apt-be status --json").Output), &status); err != nil || len(status.Pending) != 1 {
		t.Fatalf("there is not one new boot environment but %+v (%v)", status, err)
	}
	r.name = status.Pending[0].Name
	g.Shell(t, "apt-be deactivate")
	g.PowerOff(t)
	return r
}

// unchanged checks that no file of the running system has changed.
func (r redirected) unchanged(t guest.T, g *guest.Guest) {
	t.Helper()
	if now := fingerprint(t, g); now != r.files {
		t.Fatalf("the running system has changed: %s, was %s", now, r.files)
	}
}

// method is a way to switch to a boot environment, with the signs by which a test
// recognizes it.
type method struct {
	name    string
	command string // NAME is the environment
	menu    bool   // the boot menu is shown
	kernel  bool   // another kernel runs, with another boot ID
}

// methods returns all ways to switch to a boot environment.
func methods() []method {
	return []method{
		{"reboot", "apt-be activate NAME && systemctl reboot", true, true},
		{"kexec", "apt-be activate --kexec NAME", false, true},
		{"soft-reboot", "apt-be activate --soft NAME", false, false},
	}
}

// enter switches from the old system to the new one.
func (r redirected) enter(t guest.T, m method) Way {
	t.Helper()
	dir, err := os.MkdirTemp("", "apt-be-downtime.")
	if err != nil {
		t.Fatalf("cannot make a disk: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	disk, err := r.disk.Overlay(dir, false)
	if err != nil {
		t.Fatalf("%v", err)
	}
	g := guest.Start(t, disk, guest.Options{Ports: []int{web}})
	before := begin(t, g)
	r.unchanged(t, g)
	shown := len(g.Output())
	way := Way{Name: m.name, Upgrade: r.upgrade}
	way.Switch = watch(t, g, func() {
		g.Begin(t, strings.Replace(m.command, "NAME", r.name, 1))
		after := g.WaitBoot(t)
		menu := strings.Contains(g.Output()[shown:], "GNU GRUB")
		if after.Root != "/@be/"+r.name || menu != m.menu || (after.ID != before.ID) != m.kernel {
			t.Fatalf("%s: boot %+v after %+v, menu %v", m.name, after, before, menu)
		}
		// The trial ends with the verdict.
		g.Shell(t, "systemctl start apt-be-bless.service && systemctl is-active apt-be-bless.service")
	})
	wantNext(t, g, r.next)
	way.Stale, way.Processes = stale(t, g)
	g.Kill(t)
	return way
}
