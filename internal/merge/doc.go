// Package merge carries over to a boot environment what changed in the running
// system since the environment was made from it. Of every file there are three
// versions: the base, which both sides began with; the running side's; and the
// new side's, which an upgrade has made. Which one is to be in the environment,
// or what of each, is decided here, by functions of those three and nothing
// else.
//
// The running side is called live, the side of the environment next.
package merge
