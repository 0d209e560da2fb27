// Package setup sets a machine up for boot environments, once, so that the boot menu
// belongs to no single environment, and can reverse this: apt-be init.
//
// [Detect] examines the machine and changes nothing. The changes are a list of steps,
// each with a sentence for the administrator and an undo, and run as one transaction in
// a separate journal. The machine boots after every single step: see the comment of
// each list of steps.
package setup
