package rootfs

import (
	"maps"
	"testing"
)

// Access control lists in the format of setfacl(1): u::rw-, u:1:r--, u:2:r--, g::r--,
// g:1:r--, m::r--, o::r--, with other numbers.
const (
	numberedACL   = "\x02\x00\x00\x00" + aclHead + "\x02\x00\x04\x00\x01\x00\x00\x00" + "\x02\x00\x04\x00\x02\x00\x00\x00" + aclMiddle + "\x08\x00\x04\x00\x01\x00\x00\x00" + aclTail
	renumberedACL = "\x02\x00\x00\x00" + aclHead + "\x02\x00\x04\x00\x02\x00\x00\x00" + "\x02\x00\x04\x00\x05\x00\x00\x00" + aclMiddle + "\x08\x00\x04\x00\x07\x00\x00\x00" + aclTail
	aclHead       = "\x01\x00\x06\x00\xff\xff\xff\xff"
	aclMiddle     = "\x04\x00\x04\x00\xff\xff\xff\xff"
	aclTail       = "\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"
)

func TestACLsFollowNames(t *testing.T) {
	here := &Root{users: parseNames([]byte("al:x:1:1::/:\n")), groups: parseNames([]byte("team:x:1:\n"))}
	there := &Root{users: parseNames([]byte("al:x:5:1::/:\n")), groups: parseNames([]byte("team:x:7:\n"))}
	for _, attribute := range aclAttributes {
		attributes := map[string]string{attribute: numberedACL, "user.x": "y"}
		nameACLs(attributes, here.users, here.groups)
		c := &Changer{To: there, From: here}
		got, err := c.numberACLs(attributes)
		if want := map[string]string{attribute: renumberedACL, "user.x": "y"}; err != nil || !maps.Equal(got, want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
		same := map[string]string{attribute: renumberedACL}
		nameACLs(same, there.users, there.groups)
		if same[attribute] != attributes[attribute] {
			t.Errorf("%q is not %q", same[attribute], attributes[attribute])
		}
		renumbered := map[string]string{attribute: numberedACL}
		err = renumberACLs(renumbered, map[uint32]uint32{1: 5}, map[uint32]uint32{1: 7})
		if err != nil || renumbered[attribute] != renumberedACL {
			t.Errorf("%q, %v", renumbered, err)
		}
	}
}

// TestACLOfAnotherForm checks that an unknown format stays unchanged.
func TestACLOfAnotherForm(t *testing.T) {
	for _, value := range []string{"", "\x02\x00", "\x03\x00\x00\x00", "\x02\x00\x00\x00", "\x02\x00\x00\x00\x01", "acl\n", numberedACL[:11]} {
		attributes := map[string]string{aclAttributes[0]: value}
		r := &Root{users: parseNames(nil), groups: parseNames(nil)}
		nameACLs(attributes, r.users, r.groups)
		if attributes[aclAttributes[0]] != value {
			t.Errorf("of %q became %q", value, attributes)
		}
		if err := renumberACLs(attributes, map[uint32]uint32{1: 2}, nil); err != nil || attributes[aclAttributes[0]] != value {
			t.Errorf("%q became %q, %v", value, attributes, err)
		}
	}
}
