package inside

import "github.com/apt-be/apt-be/internal/sandbox"

// Files that the hook writes in a sandbox: the reason why it stopped apt, and a mark
// that it has let apt continue.
const (
	VetoNote = "/run/apt-be/veto"
	PassNote = "/run/apt-be/pass"
)

// Vetoed reports whether the hook stopped a frontend before any package changed.
// aptitude has written its selections to dpkg's database by then.
func Vetoed(result sandbox.Result) bool {
	_, veto := result.Collected[VetoNote]
	_, pass := result.Collected[PassNote]
	return veto && !pass
}
