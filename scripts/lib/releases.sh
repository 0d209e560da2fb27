# The two Debian releases that apt-be is made for and tested with, and the one
# that is to come. The only place that names them. Sourced, never run.
# shellcheck shell=bash disable=SC2034
OLDSTABLE=bookworm
STABLE=trixie
TESTING=forky
