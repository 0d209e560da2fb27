package redirect

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Execute runs a command in the sandbox of an existing root, on this process's
// terminal. The keep files, which are locks, stay open until the command has ended.
func (s *Supervisor) Execute(root Root, path string, argv []string, keep ...*os.File) (Exit, error) {
	signals := catchSignals()
	defer signals.stop()
	if !root.ReadOnly && s.Inside.others == nil {
		silent, err := s.Inside.Look()
		if err != nil {
			return Exit{}, err
		}
		s.tellUnresponsive(silent)
	}
	spec, err := s.Inside.Spec(root, path, argv)
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
	defer s.lendCache(&spec, root, reads)()
	defer func() {
		if err := sandbox.CleanUp(s.Registry.Store().Path(root.Subvolume)); err != nil {
			s.Log.WithError(err).Warn("cannot clean up after the sandbox")
		}
	}()
	process, err := sandbox.Start(spec, sandbox.Stdio{}, keep...)
	if err != nil {
		return Exit{}, err
	}
	signals.forward(process)
	result, err := process.Wait()
	if err != nil {
		return Exit{}, err
	}
	for _, note := range result.Notes {
		s.Log.Warn(note)
	}
	return Exit{Code: result.ExitCode, Signal: result.Signal}, nil
}

// frontendInvocation parses argv as the command line of a frontend, if it is one.
func frontendInvocation(argv []string) Invocation {
	if f, ok := FrontendOf(argv[0]); ok {
		return Parse(f, argv[1:], os.Environ()...)
	}
	return Invocation{}
}

// aptSaysError reports whether apt begins its errors with "Error:" (since 3.0) instead
// of "E:". Programs that search apt's output depend on the prefix.
func aptSaysError() bool {
	path, err := AptGet.RealPath("/")
	if err != nil {
		return false
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		return false
	}
	fields := strings.Fields(string(version)) // such as: apt 3.0.3 (amd64)
	return len(fields) > 1 && !strings.HasPrefix(fields[1], "1.") && !strings.HasPrefix(fields[1], "2.")
}
