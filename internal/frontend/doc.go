// Package frontend interprets the command line of a package frontend, such as apt-get,
// as the frontend would, and decides whether the command runs in a new boot environment.
// It is pure: it reads no files, runs no programs, and knows nothing of boot
// environments.
package frontend
