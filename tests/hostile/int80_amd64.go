package hostile

// int80 makes a system call as a 32-bit program does, in a 64-bit one. A filter
// that looks at the numbers alone takes it for another. It returns a number from
// -4095 to -1 for an error.
//
//go:noescape
func int80(number, a, b, c uintptr) int
