// Package redirect makes upgrades run in a new boot environment. It parses the command
// line of a package frontend, decides whether to redirect the command, runs the
// frontend in a snapshot of the running system, and decides from the state of the
// snapshot whether the snapshot becomes a boot environment.
package redirect
