package redirect

import (
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// buildInitramfs builds, once, what update-initramfs was asked for while the
// frontend ran. noted is what it noted: "" if nothing, or if it was left to
// itself. An error makes the build one that does not boot.
func (s *Supervisor) buildInitramfs(build *be.Build, job Job, noted []byte) error {
	notes := strings.TrimSpace(string(noted))
	if notes == "" {
		return nil
	}
	root := Root{Name: build.Name, Subvolume: build.Path, UUID: build.Record.UUID}
	const command = sandbox.BinDir + "/build-initramfs"
	spec, err := s.Inside.Spec(root, command, []string{command, notes})
	if err != nil {
		return err
	}
	spec.NoSync = job.Speed.NoSync
	// It unpacks there what goes into it. mkinitramfs(8) asks for a file system
	// that is not mounted noexec; this one is not.
	spec.Env = append(spec.Env, "TMPDIR=/tmp")
	result, err := sandbox.Run(spec, sandbox.Stdio{}, build.LockFile())
	if err != nil {
		return fmt.Errorf("cannot build the initramfs: %w", err)
	}
	if err := sandbox.CleanUp(s.Registry.Store().Path(build.Path)); err != nil {
		return err
	}
	if result.ExitCode != 0 || result.Signal != 0 {
		return fmt.Errorf("cannot build the initramfs: update-initramfs failed (exit status %d, signal %d)", result.ExitCode, result.Signal)
	}
	return nil
}
