//go:build !amd64

package hostile

import "golang.org/x/sys/unix"

// int80 exists only on amd64.
func int80(number, a, b, c uintptr) int { return -int(unix.ENOSYS) }
