#!/bin/sh
# No service is started or stopped while packages are installed into a boot
# environment that does not run. invoke-rc.d(8) takes 101 as "not allowed".
exit 101
