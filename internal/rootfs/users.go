package rootfs

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// Numbers of users: what is below is the system's, and so are those that systemd gives
// to services while they run, with nobody's (systemd's UIDS-GIDS).
const (
	firstUser     = 1000
	firstDynamic  = 61184
	lastOfSystems = 65535
)

func isUser(uid uint32) bool {
	return uid >= firstUser && (uid < firstDynamic || uid > lastOfSystems)
}

// IsUsers says whether a path is in the hands of a user: it belongs to one, or a
// directory above it does, or it was deleted where anybody may make something.
func (r *Root) IsUsers(name string) bool {
	return r.inHands(name, isUser, false)
}

// MayBeUsers says whether a user may have made what is at a path what it is. What belongs
// to services is not among it: of their data a part is worse than nothing.
func (r *Root) MayBeUsers(name string) bool {
	return r.inHands(name, isUser, true)
}

// inHands says whether a path or a directory above it belongs to somebody who is meant,
// or whether nothing is there in a directory that is open to all, or anything.
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

// lookAt tells what is at a path, if anything is.
func (r *Root) lookAt(name string, st *unix.Stat_t) bool {
	fd, err := r.descriptor(name, unix.O_PATH)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, st) == nil
}

// IsDeviceError says whether an error is the machine's, and not what somebody made of a file:
// a disk that fails, or that is full, or that can't be written to.
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
