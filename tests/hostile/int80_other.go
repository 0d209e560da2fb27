//go:build !amd64

package hostile

import "golang.org/x/sys/unix"

// int80 is for amd64 alone.
func int80(number, a, b, c uintptr) int { return -int(unix.ENOSYS) }
