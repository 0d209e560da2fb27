package merge

import (
	"maps"
	"slices"
)

// Kind is what a path is.
type Kind int

// Missing is a path that there isn't.
const (
	Missing Kind = iota
	Regular
	Directory
	Symlink
	Special // a device, a pipe or a socket
)

var kindNames = []string{"nothing", "a file", "a directory", "a symbolic link", "a special file"}

func (k Kind) String() string { return kindNames[k] }

// Node is what is compared of a path on one side. Times are not: what was
// written again with the same content has not changed.
type Node struct {
	Kind     Kind
	Content  string // stands for a file's content: equal if that is; a link's target; a device's number
	Size     int64  // of a file, in bytes; not compared
	Inode    uint64 // the same for all names of a file; not compared
	Modified int64  // when, in nanoseconds since 1970; not compared, see Times
	Attributes
}

// Attributes are what a node has besides its content.
type Attributes struct {
	Mode   uint32            // permissions with setuid, setgid and sticky bit; 0 for a link
	Owner  string            // by name, where there is one, since sides may number differently
	Group  string            // so too
	Xattrs map[string]string // with access control lists and file capabilities
	Flags  uint32            // those of chattr(1) that a user sets, of a file or a directory (linux/fs.h)
}

// Same says whether two nodes are the same.
func (n Node) Same(other Node) bool {
	return n.sameThing(other) && (n.Kind == Missing || n.Attributes.same(other.Attributes))
}

// sameThing compares all but the attributes.
func (n Node) sameThing(other Node) bool { return n.Kind == other.Kind && n.Content == other.Content }

func (a Attributes) same(b Attributes) bool {
	return a.Mode == b.Mode && a.Owner == b.Owner && a.Group == b.Group && a.Flags == b.Flags && maps.Equal(a.Xattrs, b.Xattrs)
}

// mergeAttributes takes each attribute from the side that changed it, from the
// live one if both did, and says which those are.
func mergeAttributes(base, running, target Attributes) (merged Attributes, conflicts []string) {
	three := func(what string, b, l, n any) any {
		switch {
		case l == n || l == b:
			return n
		case n != b:
			conflicts = append(conflicts, what)
		}
		return l
	}
	merged.Mode = three("mode", base.Mode, running.Mode, target.Mode).(uint32)
	merged.Owner = three("owner", base.Owner, running.Owner, target.Owner).(string)
	merged.Group = three("group", base.Group, running.Group, target.Group).(string)
	merged.Flags = mergeFlags(base.Flags, running.Flags, target.Flags)
	all := map[string]bool{}
	for _, side := range []Attributes{base, running, target} {
		for key := range side.Xattrs {
			all[key] = true
		}
	}
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value := three(key, attribute(base, key), attribute(running, key), attribute(target, key)).(xattr)
		if value.set {
			if merged.Xattrs == nil {
				merged.Xattrs = map[string]string{}
			}
			merged.Xattrs[key] = value.value
		}
	}
	return merged, conflicts
}

// Flags of chattr(1) that stand against each other (linux/fs.h).
const (
	nocow      = 0x800000 // C
	compressed = 0x4      // c
	asItIs     = 0x400    // m
)

// mergeFlags takes each flag from the side that changed it: who gave it away or
// set it on both did the same.
func mergeFlags(base, running, target uint32) uint32 {
	merged := running&target | (running^target)&^base
	if against := merged & (nocow | compressed | asItIs); against&(against-1) != 0 {
		merged = merged&^against | running&(nocow|compressed|asItIs)
	}
	return merged
}

// xattr is a value that may not be there, which an empty one is.
type xattr struct {
	value string
	set   bool
}

func attribute(a Attributes, key string) xattr {
	value, ok := a.Xattrs[key]
	return xattr{value, ok}
}
