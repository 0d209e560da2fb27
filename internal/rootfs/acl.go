package rootfs

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The extended attributes that contain access control lists, which contain numbers of
// accounts, too (acl(5)).
var aclAttributes = []string{"system.posix_acl_access", "system.posix_acl_default"}

// aclEntry is struct posix_acl_xattr_entry (linux/posix_acl_xattr.h), which is
// little endian.
type aclEntry struct {
	Tag, Perm uint16
	ID        uint32
}

const (
	aclVersion = 2    // POSIX_ACL_XATTR_VERSION, before the entries
	aclUser    = 0x02 // ACL_USER: the ID is a uid
	aclGroup   = 0x08 // ACL_GROUP: the ID is a gid
	aclNobody  = 0xffffffff
)

// parseACL returns no entries for a value in an unknown format.
func parseACL(value string) []aclEntry {
	content := []byte(value)
	if len(content) < 4 || binary.LittleEndian.Uint32(content) != aclVersion {
		return nil
	}
	entries := make([]aclEntry, (len(content)-4)/8)
	if n, err := binary.Decode(content[4:], binary.LittleEndian, entries); err != nil || n != len(content)-4 {
		return nil
	}
	return entries
}

// formatACL reverses parseACL, with the entries in setfacl(1)'s order.
func formatACL(entries []aclEntry) (string, error) {
	slices.SortFunc(entries, func(a, b aclEntry) int { return cmp.Or(cmp.Compare(a.Tag, b.Tag), cmp.Compare(a.ID, b.ID)) })
	content := binary.LittleEndian.AppendUint32(nil, aclVersion)
	content, err := binary.Append(content, binary.LittleEndian, entries)
	return string(content), err
}

// aclNamed is the prefix of an access control list that contains names.
const aclNamed = "acl\n"

// nameACLs replaces the numbers in access control lists by names, in an order that does
// not depend on the numbers.
func nameACLs(xattrs map[string]string, users, groups *names) {
	for _, attribute := range aclAttributes {
		var named []string
		for _, e := range parseACL(xattrs[attribute]) {
			who := ""
			switch e.Tag {
			case aclUser:
				who = users.name(e.ID)
			case aclGroup:
				who = groups.name(e.ID)
			}
			named = append(named, fmt.Sprintf("%04x:%04x:%s", e.Tag, e.Perm, who))
		}
		if named != nil {
			slices.Sort(named)
			xattrs[attribute] = aclNamed + strings.Join(named, "\n")
		}
	}
}

// numberACLs reverses nameACLs, with the present numbers of the accounts.
func (c *Changer) numberACLs(xattrs map[string]string) (map[string]string, error) {
	numbered := maps.Clone(xattrs)
	for _, attribute := range aclAttributes {
		named, found := strings.CutPrefix(xattrs[attribute], aclNamed)
		if !found {
			continue
		}
		var entries []aclEntry
		for line := range strings.SplitSeq(named, "\n") {
			e := aclEntry{ID: aclNobody}
			if _, err := fmt.Sscanf(line, "%x:%x:", &e.Tag, &e.Perm); err != nil {
				return nil, fmt.Errorf("cannot read %q of an access control list: %w", line, err)
			}
			who := line[strings.LastIndex(line, ":")+1:]
			var err error
			switch e.Tag {
			case aclUser:
				e.ID, err = number(who, c.To.users, c.From.users)
			case aclGroup:
				e.ID, err = number(who, c.To.groups, c.From.groups)
			}
			if err != nil {
				return nil, err
			}
			entries = append(entries, e)
		}
		value, err := formatACL(entries)
		if err != nil {
			return nil, err
		}
		numbered[attribute] = value
	}
	return numbered, nil
}

// renumberACLs replaces numbers in access control lists.
func renumberACLs(xattrs map[string]string, users, groups map[uint32]uint32) error {
	for _, attribute := range aclAttributes {
		entries := parseACL(xattrs[attribute])
		if entries == nil {
			continue
		}
		for i, e := range entries {
			numbers := map[uint16]map[uint32]uint32{aclUser: users, aclGroup: groups}[e.Tag]
			if to, ok := numbers[e.ID]; ok {
				entries[i].ID = to
			}
		}
		value, err := formatACL(entries)
		if err != nil {
			return err
		}
		xattrs[attribute] = value
	}
	return nil
}
