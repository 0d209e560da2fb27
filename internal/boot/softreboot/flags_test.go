package softreboot

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestFlagsOf(t *testing.T) {
	for options, want := range map[string]uintptr{
		"rw,relatime":             unix.MS_RELATIME,
		"ro,nosuid,nodev,noatime": unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME,
		"rw,noexec,nodiratime":    unix.MS_NOEXEC | unix.MS_NODIRATIME,
		"rw,nosymfollow,lazy,x=y": unix.MS_NOSYMFOLLOW,
		"":                        0,
	} {
		if got := flagsOf(options); got != want {
			t.Errorf("%q: %#x, want %#x", options, got, want)
		}
	}
}
