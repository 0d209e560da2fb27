// Package merge decides how the changes of the running system are carried to a boot
// environment (the target). Each file has three versions: the base's, which both sides
// started with, the running system's, and the target's, which an upgrade made. The
// functions of this package decide, from these three versions only, which version, or
// which parts of both, the target gets.
package merge
