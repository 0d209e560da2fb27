// Package setup prepares a machine for boot environments, once, so that the
// boot menu belongs to none of them, and takes that back: what apt-be init
// does.
//
// What is there is found by [Detect], which changes nothing. What is to be
// done is a list of steps, each with a sentence for the admin and an undo, run
// as one transaction in a journal of its own. Between any two steps the
// machine boots: see the comment of each list of steps.
package setup
