package inside

import (
	"context"
	"os"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Execute runs a command in the sandbox of an existing root, on this process's
// terminal. The keep files, which are locks, stay open until the command has ended.
func (l *Launcher) Execute(root Root, path string, argv []string, keep ...*os.File) (Exit, error) {
	signals := CatchSignals()
	defer signals.Stop()
	if !root.ReadOnly && l.others == nil {
		silent, err := l.Look()
		if err != nil {
			return Exit{}, err
		}
		l.TellUnresponsive(silent)
	}
	spec, err := l.Spec(root, path, argv)
	if err != nil {
		return Exit{}, err
	}
	// The command may be apt, or run it. apt itself reports a broken configuration;
	// until it is corrected, the sandbox has no network.
	var reads Places
	inv := frontendInvocation(argv)
	if conf, err := aptconf.Read(context.Background(), aptconf.Query{Args: inv.ConfigArgs, Env: os.Environ()}); err == nil {
		if root.ReadOnly { // nothing is installed in a read-only root
			reads.Network, reads.wrongNetwork = conf.Network()
		} else {
			reads = ReadsOf(inv, conf)
		}
		if err := reads.show(&spec); err != nil {
			return Exit{}, err
		}
	}
	defer l.LendCache(&spec, root, reads)()
	defer func() {
		if err := sandbox.CleanUp(l.Store.Path(root.Subvolume)); err != nil {
			l.Log.WithError(err).Warn("cannot clean up after the sandbox")
		}
	}()
	process, err := sandbox.Start(spec, sandbox.Stdio{}, keep...)
	if err != nil {
		return Exit{}, err
	}
	signals.Forward(process)
	result, err := process.Wait()
	if err != nil {
		return Exit{}, err
	}
	for _, note := range result.Notes {
		l.Log.Warn(note)
	}
	return Exit{Code: result.ExitCode, Signal: result.Signal}, nil
}

// frontendInvocation parses argv as the command line of a frontend, if it is one.
func frontendInvocation(argv []string) frontend.Invocation {
	if f, ok := frontend.FrontendOf(argv[0]); ok {
		return frontend.Parse(f, argv[1:], os.Environ()...)
	}
	return frontend.Invocation{}
}
