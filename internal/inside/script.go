package inside

import (
	"os"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Script runs a script in the frontend's sandbox, with all its mounts, so that the
// script sees the same /etc as the frontend.
func (l *Launcher) Script(build *be.Build, script string, args ...string) (sandbox.Result, error) {
	spec, err := l.Spec(RootOf(build), "/bin/sh", append([]string{"sh", "-c", script, "sh"}, args...))
	if err != nil {
		return sandbox.Result{}, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer null.Close()
	return sandbox.Run(spec, sandbox.Stdio{In: null, Out: null, Err: null}, build.LockFile())
}
