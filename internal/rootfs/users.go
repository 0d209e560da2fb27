package rootfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Numbers of accounts: smaller ones are the system's, and so are those that systemd
// assigns to running services, and nobody's (systemd's UIDS-GIDS).
const (
	firstUser     = 1000
	firstDynamic  = 61184
	lastOfSystems = 65535
)

func isUser(uid uint32) bool {
	return uid >= firstUser && (uid < firstDynamic || uid > lastOfSystems)
}

// IsUsers reports whether a path belongs to a user: the path, or a directory above it,
// is owned by a user, or it was deleted in a world-writable directory.
func (r *Root) IsUsers(name string) bool {
	return r.inHands(name, isUser, false)
}

// MayBeUsers reports whether a user may be the cause of a path's state. Services do not
// count as users, because a part of their data is worse than none.
func (r *Root) MayBeUsers(name string) bool {
	return r.inHands(name, isUser, true)
}

// inHands reports whether a path, or a directory above it, has an owner for which meant
// returns true, or, if the path does not exist or anything is set, whether a directory
// above is world-writable.
func (r *Root) inHands(name string, meant func(uid uint32) bool, anything bool) bool {
	open := false
	for end := 0; end >= 0 && end <= len(name); {
		next := strings.IndexByte(name[end:], '/')
		part := name
		if next >= 0 {
			part = name[:end+next]
		}
		var st unix.Stat_t
		if !r.lookAt(part, &st) {
			return open
		}
		if meant(st.Uid) || open && anything {
			return true
		}
		open = st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o002 != 0
		if next < 0 {
			return false
		}
		end += next + 1
	}
	return false
}

// lookAt returns the state of a path, if it exists.
func (r *Root) lookAt(name string, st *unix.Stat_t) bool {
	fd, err := r.descriptor(name, unix.O_PATH)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, st) == nil
}

// IsDeviceError reports whether an error comes from the disk, not from a property of a
// file: the disk fails, is full, or is read-only.
func IsDeviceError(err error) bool {
	for _, is := range []error{
		unix.EIO, unix.EUCLEAN, unix.EBADMSG, unix.ENOMEM, unix.ENOSPC, unix.EDQUOT, unix.EROFS, unix.EMFILE, unix.ENFILE,
	} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}
