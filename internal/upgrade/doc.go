// Package upgrade runs a package frontend in a snapshot of the running system, and
// decides from the state of the snapshot whether the snapshot becomes a boot environment.
// upgrade.go has the whole way from top to bottom.
package upgrade
