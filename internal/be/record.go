// Package be is the domain of boot environments: their names, states and records, the
// registry, and the rules for changing and destroying them. It accesses the machine
// only through a store.Store.
package be

import (
	"fmt"
	"strings"
	"time"
)

// State is the state of a boot environment.
type State string

// The states. The first five are in the order of a successful environment's life.
const (
	Creating   State = "creating"   // under construction
	Ready      State = "ready"      // complete, and never booted
	Armed      State = "armed"      // the next boot tries it; only shown (ShownState), never in a record
	Trying     State = "trying"     // booted, not yet healthy
	Blessed    State = "blessed"    // booted and healthy
	FellBack   State = "fell-back"  // booted, and left because it was unhealthy
	Stale      State = "stale"      // the running system changed in a way that cannot be carried
	Failed     State = "failed"     // its upgrade failed; kept for inspection, never booted
	Unreadable State = "unreadable" // its record cannot be read; only shown, never in a record
)

// Creator is the reason for which a boot environment was created.
type Creator string

// The creators. Pruning destroys only environments of Redirect and Command.
const (
	Installer Creator = "installer" // it existed before apt-be
	User      Creator = "user"      // apt-be create
	Redirect  Creator = "redirect"  // an upgrade that was redirected
	Command   Creator = "command"   // apt-be dist-upgrade and similar verbs
	Guard     Creator = "guard"     // a safety snapshot
)

// Changes counts the packages that differ between a boot environment and its origin.
type Changes struct {
	Upgraded   int `json:"upgraded"`
	Downgraded int `json:"downgraded"`
	Added      int `json:"added"`
	Removed    int `json:"removed"`
}

// Total returns the number of packages that differ.
func (c Changes) Total() int { return c.Upgraded + c.Downgraded + c.Added + c.Removed }

// Summary describes the changes in words, such as "485 upgraded, 131 new, 44 removed".
func (c Changes) Summary() string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Upgraded, "upgraded"}, {c.Downgraded, "downgraded"}, {c.Added, "new"}, {c.Removed, "removed"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "no package differs"
	}
	return strings.Join(parts, ", ")
}

// Kernel is a kernel in a boot environment, with paths inside the environment.
type Kernel struct {
	Version string `json:"version"`
	Image   string `json:"image"`
	Initrd  string `json:"initrd,omitempty"`
}

// RecordSchema is the version of Record's format that this program writes.
const RecordSchema = 1

// Record is the registry's data about a boot environment. The name is not in it: it is
// the name of the subvolume.
type Record struct {
	Schema         int             `json:"schema"`
	UUID           string          `json:"uuid"`                  // of the subvolume
	Path           string          `json:"path,omitempty"`        // the subvolume, if it is outside of @be, such as @rootfs
	TargetName     string          `json:"target_name,omitempty"` // the name that it gets with the commit
	State          State           `json:"state"`
	CreatedBy      Creator         `json:"created_by"`
	Created        time.Time       `json:"created"`
	Origin         string          `json:"origin,omitempty"`          // the origin's name at that time
	OriginUUID     string          `json:"origin_uuid,omitempty"`     // the UUID of the origin's subvolume
	BaseUUID       string          `json:"base_uuid,omitempty"`       // the UUID of the base's subvolume
	ForkGeneration uint64          `json:"fork_generation,omitempty"` // the store's generation of its creation, if a sync has rebuilt the subvolume since
	Command        []string        `json:"command,omitempty"`         // the command that created it
	Extended       bool            `json:"extended,omitempty"`        // other upgrades have extended it
	Reason         string          `json:"reason,omitempty"`          // the reason of its state, as a sentence
	Kept           bool            `json:"kept,omitempty"`
	HoldReason     string          `json:"hold_reason,omitempty"`  // why its trial was cancelled before it began, as a sentence
	Trial          *Trial          `json:"trial,omitempty"`        // a trial that is armed, under way, or has failed
	BlessedAt      time.Time       `json:"blessed_at,omitzero"`    // the end of a successful trial; zero if there was none
	WasDefault     bool            `json:"was_default,omitempty"`  // it was the default until a user chose another one, which has not been booted yet
	Fallbacks      int             `json:"fallbacks,omitempty"`    // the number of fallbacks from it
	Acknowledged   bool            `json:"acknowledged,omitempty"` // the user has acknowledged the last fallback
	Parameters     string          `json:"parameters,omitempty"`   // the kernel's parameters except root and rootflags; "" if unknown
	Modified       bool            `json:"modified,omitempty"`     // a user has worked in it since it was created
	Title          string          `json:"title,omitempty"`        // os-release's PRETTY_NAME
	Kernels        []Kernel        `json:"kernels,omitempty"`
	Changes        Changes         `json:"changes"`
	LeftOut        []string        `json:"left_out,omitempty"`        // subvolumes nested in the origin that were not copied
	Parts          []Part          `json:"parts,omitempty"`           // separate subvolumes that belong to it
	Emptied        []string        `json:"emptied,omitempty"`         // subvolumes nested in the origin with active swap files; they exist, but are empty
	Nested         []Nested        `json:"nested,omitempty"`          // nested subvolumes that existed at the commit
	ShareSnapshots []ShareSnapshot `json:"share_snapshots,omitempty"` // snapshots of the shares at the time when the machine left for it
}

// ShareSnapshot is a read-only snapshot of a share, in ShareSnapshotDir.
type ShareSnapshot struct {
	Share string    `json:"share"` // the share's name at that time
	UUID  string    `json:"uuid"`  // of the snapshot
	Taken time.Time `json:"taken"`
}
