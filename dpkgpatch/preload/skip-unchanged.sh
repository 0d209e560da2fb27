#!/bin/sh
# dpkg, with the library that lies beside this script: unchanged files of a
# package are not written again. For apt's Dir::Bin::dpkg.
#
# Where the library is not there, this is just dpkg. It may be that the upgrade
# that is under way removes it.
library=${0%/*}/skip-unchanged.so
if [ -r "$library" ]; then
	LD_PRELOAD=$library${LD_PRELOAD:+:$LD_PRELOAD}
	export LD_PRELOAD
fi
exec /usr/bin/dpkg "$@"
