package be

import (
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/store"
)

// The directories and subvolumes in the top-level subvolume.
const (
	EnvDir  = "@be"
	BaseDir = "@be-base"
	HomeDir = "@apt-be"
	// ShareDir contains the subvolumes of shares.
	ShareDir = "@share"
	// ShareSnapshotDir contains the share snapshots.
	ShareSnapshotDir = "@share-past"
)

// newPrefix is the prefix of subvolumes under construction. No environment's name can
// begin with it.
const newPrefix = ".new-"

// Env is a boot environment.
type Env struct {
	Name      string
	Record    Record
	Subvolume store.Subvolume
	Running   bool // mounted at /
	Next      bool // the next boot takes it
	Armed     bool // the next boot takes it on trial, after an orderly shutdown
	Default   bool // it boots if no trial is armed
	Origin    bool // apt-be init --undo returns to it
	// Unreadable is the reason why the record cannot be read; nil if it can. If it is
	// set, Record is a placeholder in the state Unreadable.
	Unreadable *UnreadableError
	// DefaultErr is set if the default is unknown; then Next, Armed and Default are
	// false in all environments, and Origin may be wrong.
	DefaultErr error
}

// Flags returns the letters for lists: N running, R next, T trial, B blessed, K kept, F
// failed.
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

// Bootable reports whether the environment may be booted.
func (e Env) Bootable() bool {
	return e.Record.State != Failed && e.Record.State != Creating && len(e.Record.Kernels) > 0
}

// ShownState returns the state to show to users: Armed if a trial is armed or wanted
// and the environment does not run, otherwise the state in the record.
func (e Env) ShownState() State {
	if e.Armed && !e.Running && e.Record.State != Unreadable {
		return Armed
	}
	return e.Record.State
}

// Pending reports whether e is an upgraded environment that waits for its first boot.
func (e Env) Pending() bool { return !e.Running && e.NeverBooted() }

// NeverBooted reports whether e is an upgraded environment that was never booted
// successfully. Only such an environment receives the drift of the running system; an
// environment that the user created may be meant as a way back.
func (e Env) NeverBooted() bool {
	upgraded := e.Record.CreatedBy == Redirect || e.Record.CreatedBy == Command
	return upgraded && e.Record.State == Ready
}

// ForkGeneration returns the store's generation in which e was created, before anything
// in it changed.
func (e Env) ForkGeneration() uint64 {
	if e.Record.ForkGeneration > 0 {
		return e.Record.ForkGeneration
	}
	return e.Subvolume.OTransID
}

// Original reports whether e is the root that the installer made.
func (e Env) Original() bool { return e.Record.Path != "" }

// setNext marks the environment that the next boot takes: the armed trial, otherwise
// the boot loader's default. If apt-be init was not run, it marks the original root,
// whatever the user selected in the menu for this boot.
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
		for i := range envs { // the trial may be in a record that cannot be read
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

// nameOf returns the environment's name, which is the name of its subvolume.
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

// byAge sorts environments by age, oldest first.
func byAge(envs []Env) {
	slices.SortFunc(envs, func(a, b Env) int {
		if c := a.Record.Created.Compare(b.Record.Created); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
}
