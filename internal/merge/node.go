package merge

import (
	"maps"
	"slices"
)

// Kind is the type of a path.
type Kind int

// Missing is a path that does not exist.
const (
	Missing Kind = iota
	Regular
	Directory
	Symlink
	Special // a device, a pipe or a socket
)

var kindNames = []string{"nothing", "a file", "a directory", "a symbolic link", "a special file"}

func (k Kind) String() string { return kindNames[k] }

// Node is the comparable state of a path on one side. Times are not compared: a file
// that was written again with the same content has not changed.
type Node struct {
	Kind     Kind
	Content  string // an ID of a file's content, equal for equal contents; a link's target; a device's number
	Size     int64  // a file's size in bytes; not compared
	Inode    uint64 // the same for all names of a file; not compared
	Modified int64  // the modification time in nanoseconds since 1970; not compared, see times.go
	Attributes
}

// Attributes are the properties of a node besides its content.
type Attributes struct {
	Mode   uint32            // permissions with setuid, setgid and sticky bit; 0 for a link
	Owner  string            // the user name, if there is one, because the sides may have different numbers
	Group  string            // the group name, if there is one
	Xattrs map[string]string // with access control lists and file capabilities
	Flags  uint32            // the flags of chattr(1) that users can set, of files and directories (linux/fs.h)
}

// Same reports whether two nodes are equal.
func (n Node) Same(other Node) bool {
	return n.sameThing(other) && (n.Kind == Missing || n.Attributes.same(other.Attributes))
}

// sameThing compares nodes without attributes.
func (n Node) sameThing(other Node) bool { return n.Kind == other.Kind && n.Content == other.Content }

func (a Attributes) same(b Attributes) bool {
	return a.Mode == b.Mode && a.Owner == b.Owner && a.Group == b.Group && a.Flags == b.Flags && maps.Equal(a.Xattrs, b.Xattrs)
}

// mergeAttributes takes each attribute from the side that changed it. If both did, it
// takes the running system's and returns the attribute's name.
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

// Flags of chattr(1) that exclude each other (linux/fs.h).
const (
	nocow      = 0x800000 // C
	compressed = 0x4      // c
	asItIs     = 0x400    // m
)

// mergeFlags takes each flag from the side that changed it. If both changed a flag,
// they did the same.
func mergeFlags(base, running, target uint32) uint32 {
	merged := running&target | (running^target)&^base
	if against := merged & (nocow | compressed | asItIs); against&(against-1) != 0 {
		merged = merged&^against | running&(nocow|compressed|asItIs)
	}
	return merged
}

// xattr is a value that may be missing, which differs from an empty one.
type xattr struct {
	value string
	set   bool
}

func attribute(a Attributes, key string) xattr {
	value, ok := a.Xattrs[key]
	return xattr{value, ok}
}
