// Package redirect makes upgrades go into a new boot environment. It parses
// the command line of a package frontend, decides whether that is to be
// redirected, runs the frontend in a snapshot of the running system, and judges
// by what that left whether the snapshot becomes a boot environment.
package redirect
