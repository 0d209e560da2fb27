package inside

import (
	"fmt"

	"github.com/apt-be/apt-be/internal/sandbox"
)

// Describe names a mount that does not respond.
func Describe(s sandbox.UnresponsiveMount) string {
	return fmt.Sprintf("%s (%s of %s)", s.Dir, s.Type, s.Source)
}

// TellUnresponsive prints the mounts that are left out.
func (l *Launcher) TellUnresponsive(silent []sandbox.UnresponsiveMount) {
	for _, mount := range silent {
		l.Log.Warnf("%s does not respond, so the upgrade sees an empty %s. To unmount it, run umount --lazy %s", Describe(mount), mount.Dir, mount.Dir)
	}
}
