// Package be is the domain of boot environments: their names, states and
// records, the registry that holds them, and the rules for what may be done
// to them. It reaches the machine only through a store.Store.
package be

import (
	"fmt"
	"strings"
	"time"
)

// State is where a boot environment is in its life.
type State string

// The states, in the order of a life that goes well, then the others. Nothing
// sets Superseded: what a newer upgrade replaces is destroyed at once.
const (
	Creating   State = "creating"   // under construction
	Ready      State = "ready"      // whole, and never booted
	Armed      State = "armed"      // the next boot tries it: shown (ShownState) of one with a Trial that has not begun, and in no record
	Trying     State = "trying"     // booted, and not yet proved healthy
	Blessed    State = "blessed"    // booted and found healthy
	FellBack   State = "fell-back"  // booted, and left because it was not healthy
	Stale      State = "stale"      // the running system changed in a way that can't be carried over
	Superseded State = "superseded" // a newer upgrade replaced it
	Failed     State = "failed"     // its upgrade failed; kept to be looked at, never booted
	Unreadable State = "unreadable" // its record can't be read: shown of such a one, and in no record
)

// Creator is what made a boot environment.
type Creator string

// The makers. Pruning touches none but Redirect's and Command's.
const (
	Installer Creator = "installer" // was there before apt-be
	User      Creator = "user"      // apt-be create
	Redirect  Creator = "redirect"  // an upgrade that the user typed to apt
	Command   Creator = "command"   // apt-be dist-upgrade and the like
	Guard     Creator = "guard"     // a safety snapshot
)

// Changes counts the packages in which a boot environment differs from its origin.
type Changes struct {
	Upgraded   int `json:"upgraded"`
	Downgraded int `json:"downgraded"`
	Added      int `json:"added"`
	Removed    int `json:"removed"`
}

// Total is the number of packages that differ.
func (c Changes) Total() int { return c.Upgraded + c.Downgraded + c.Added + c.Removed }

// Summary says so in words, such as "485 upgraded, 131 new, 44 removed".
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

// Kernel is a kernel that a boot environment holds, with paths inside it.
type Kernel struct {
	Version string `json:"version"`
	Image   string `json:"image"`
	Initrd  string `json:"initrd,omitempty"`
}

// RecordSchema is the version of Record's format that this program writes.
const RecordSchema = 1

// Record is what the registry keeps of a boot environment. Its name is
// where the subvolume lies.
type Record struct {
	Schema         int             `json:"schema"`
	UUID           string          `json:"uuid"`                  // of the subvolume
	Path           string          `json:"path,omitempty"`        // of a subvolume outside @be, such as @rootfs
	TargetName     string          `json:"target_name,omitempty"` // the name it gets when it is whole
	State          State           `json:"state"`
	CreatedBy      Creator         `json:"created_by"`
	Created        time.Time       `json:"created"`
	Origin         string          `json:"origin,omitempty"`          // the name that its origin had
	OriginUUID     string          `json:"origin_uuid,omitempty"`     // of its origin's subvolume
	BaseUUID       string          `json:"base_uuid,omitempty"`       // of the base's subvolume
	ForkGeneration uint64          `json:"fork_generation,omitempty"` // the store's generation in which it was made, if that is another than its subvolume's, since it was built anew
	Command        []string        `json:"command,omitempty"`         // that made it
	Extended       bool            `json:"extended,omitempty"`        // other upgrades went on with it since
	Reason         string          `json:"reason,omitempty"`          // of its state, in a sentence
	Kept           bool            `json:"kept,omitempty"`
	HoldReason     string          `json:"hold_reason,omitempty"`  // why its trial was taken back as it was to begin, in a sentence
	Trial          *Trial          `json:"trial,omitempty"`        // that is armed, under way, or has failed
	BlessedAt      time.Time       `json:"blessed_at,omitzero"`    // when a trial of it ended well; zero for one that never had any
	WasDefault     bool            `json:"was_default,omitempty"`  // until somebody chose another one to boot instead, which has not run yet
	Fallbacks      int             `json:"fallbacks,omitempty"`    // how often the machine has left it by itself
	Acknowledged   bool            `json:"acknowledged,omitempty"` // somebody has acknowledged that it failed back
	Parameters     string          `json:"parameters,omitempty"`   // of its kernel, besides root and rootflags; "" if nothing is known
	Modified       bool            `json:"modified,omitempty"`     // somebody worked in it since it was made
	Title          string          `json:"title,omitempty"`        // os-release's PRETTY_NAME
	Kernels        []Kernel        `json:"kernels,omitempty"`
	Changes        Changes         `json:"changes"`
	LeftOut        []string        `json:"left_out,omitempty"`        // subvolumes nested in the origin and not copied
	Parts          []Part          `json:"parts,omitempty"`           // subvolumes of their own that belong to it
	Emptied        []string        `json:"emptied,omitempty"`         // subvolumes nested in the origin that it swaps to: they are there, without what is in them
	Nested         []Nested        `json:"nested,omitempty"`          // subvolumes that came with it
	ShareSnapshots []ShareSnapshot `json:"share_snapshots,omitempty"` // what shares were when the machine left for it
}

// ShareSnapshot is a read-only snapshot of a share, in PastDir.
type ShareSnapshot struct {
	Share string    `json:"share"` // the name that the share had
	UUID  string    `json:"uuid"`  // of the snapshot
	Taken time.Time `json:"taken"`
}
