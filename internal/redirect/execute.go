package redirect

import (
	"context"
	"os"
	"os/exec"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// Execute runs a command in the sandbox of a root that exists, on this
// process's terminal. The keep files, locks, are held until it has ended.
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
	// The command may be apt, or run it. A broken configuration is for apt to tell of;
	// until it is mended there is no network.
	var reads Places
	inv := frontendInvocation(argv)
	if conf, err := aptconf.Read(context.Background(), aptconf.Query{Args: inv.ConfigArgs, Env: os.Environ()}); err == nil {
		if root.ReadOnly { // nothing is installed there
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

// frontendInvocation is what a command asks of a frontend, if it is one.
func frontendInvocation(argv []string) Invocation {
	if f, ok := FrontendOf(argv[0]); ok {
		return Parse(f, argv[1:], os.Environ()...)
	}
	return Invocation{}
}

// aptSaysError tells apts that begin their errors with "Error:" (3.0)
// from those that say "E:". It matters to whoever searches its output.
func aptSaysError() bool {
	path, err := AptGet.RealPath("/")
	if err != nil {
		return false
	}
	version, err := exec.Command(path, "--version").Output()
	if err != nil {
		return false
	}
	fields := strings.Fields(string(version)) // apt 3.0.3 (amd64)
	return len(fields) > 1 && !strings.HasPrefix(fields[1], "1.") && !strings.HasPrefix(fields[1], "2.")
}
