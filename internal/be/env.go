package be

import (
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/store"
)

// Where things are in the top-level subvolume.
const (
	EnvDir  = "@be"
	BaseDir = "@be-base"
	HomeDir = "@apt-be"
	// ShareDir holds the subvolumes that all environments mount.
	ShareDir = "@share"
	// ShareSnapshotDir holds read-only snapshots of shares: what those were when the
	// machine left for an environment.
	ShareSnapshotDir = "@share-past"
)

// newPrefix begins the name of a subvolume under construction. No
// environment's name can begin so.
const newPrefix = ".new-"

// Env is a boot environment.
type Env struct {
	Name      string
	Record    Record
	Subvolume store.Subvolume
	Running   bool // mounted at /
	Next      bool // what the next boot takes
	Armed     bool // what the next boot takes on trial, if the machine is shut down for it
	Default   bool // what boots where no trial is armed
	Origin    bool // what apt-be init --undo goes back to
	// Unreadable is why its record can't be read; nil if it can. Record is made up
	// then, in the state Unreadable.
	Unreadable *UnreadableError
	// Uncertain is why Next, Default and Armed are false of all, and Origin may be
	// wrong; nil if what boots is known.
	DefaultErr error
}

// Flags returns the letters that lists show: N running, R next, T trial,
// B blessed, K kept, F failed.
func (e Env) Flags() string {
	var flags strings.Builder
	for _, f := range []struct {
		set    bool
		letter byte
	}{
		{e.Running, 'N'},
		{e.Next, 'R'},
		{e.Armed || e.Record.State == Trying, 'T'},
		{e.Record.State == Blessed, 'B'},
		{e.Record.Kept, 'K'},
		{e.Record.State == Failed || e.Record.State == FellBack, 'F'},
	} {
		if f.set {
			flags.WriteByte(f.letter)
		}
	}
	return flags.String()
}

// Bootable says whether a boot environment may be booted at all.
func (e Env) Bootable() bool {
	return e.Record.State != Failed && e.Record.State != Creating && len(e.Record.Kernels) > 0
}

// ShownState is the state that users are shown: Armed as long as its trial is
// armed, or wanted, and it does not run, else that of its record, which it
// keeps meanwhile.
func (e Env) ShownState() State {
	if e.Armed && !e.Running && e.Record.State != Unreadable {
		return Armed
	}
	return e.Record.State
}

// Pending says whether e is an upgraded system that waits for its first boot.
func (e Env) Pending() bool { return !e.Running && e.NeverBooted() }

// NeverBooted says whether e is an upgraded system that has never come up. Such a
// one is the running system's successor, and gets what happens there meanwhile;
// one that was made by hand may be meant to go back to.
func (e Env) NeverBooted() bool {
	upgraded := e.Record.CreatedBy == Redirect || e.Record.CreatedBy == Command
	return upgraded && e.Record.State == Ready
}

// ForkGeneration is the store's generation in which e was made, before anything was
// changed in it.
func (e Env) ForkGeneration() uint64 {
	if e.Record.ForkGeneration > 0 {
		return e.Record.ForkGeneration
	}
	return e.Subvolume.OTransID
}

// Original says whether e is the root that the installer made.
func (e Env) Original() bool { return e.Record.Path != "" }

// setNext marks what the next boot takes: the trial that the loader has armed,
// or else its default. Where apt-be init was not run, no loader is asked; then
// it is the original root, whichever one was chosen from the menu this time.
func setNext(envs []Env, defaultName, armedNonce string) {
	next := slices.IndexFunc(envs, func(e Env) bool {
		return armedNonce != "" && e.Record.Trial != nil && e.Record.Trial.Nonce == armedNonce
	})
	standing := slices.IndexFunc(envs, func(e Env) bool { return defaultName != "" && e.Name == defaultName })
	if standing >= 0 {
		envs[standing].Default = true
	}
	if next >= 0 {
		envs[next].Armed = true
	} else {
		next = standing
		for i := range envs { // a record that can't be read may be what tells of the trial
			envs[i].Armed = armedNonce != "" && envs[i].Unreadable != nil && !envs[i].Running
		}
	}
	if next < 0 {
		next = slices.IndexFunc(envs, Env.Original)
	}
	if next < 0 {
		next = slices.IndexFunc(envs, func(e Env) bool { return e.Running })
	}
	if next >= 0 {
		envs[next].Next = true
	}
}

// nameOf derives an environment's name from where its subvolume lies.
func nameOf(path string) string {
	if name, ok := strings.CutPrefix(path, EnvDir+"/"); ok {
		return name
	}
	name := strings.Trim(strings.ReplaceAll(path, "/", "-"), "@-")
	if CheckName(name) != nil {
		return "default"
	}
	return name
}

// byAge orders environments, oldest first.
func byAge(envs []Env) {
	slices.SortFunc(envs, func(a, b Env) int {
		if c := a.Record.Created.Compare(b.Record.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}
