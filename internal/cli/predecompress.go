package cli

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/predecompress"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// newPredecompress returns a verb that apt runs in a sandbox as a
// DPkg::Pre-Install-Pkgs hook (inside/speed.go).
func newPredecompress(app *App) *cobra.Command {
	var work bool
	cmd := &cobra.Command{
		Use:    "predecompress",
		Short:  "Decompress packages before dpkg needs them, in the sandbox",
		Hidden: true, // apt calls it
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := os.Lstat(sandbox.Marker); err != nil {
				return fmt.Errorf("cannot predecompress packages: not inside a boot environment's sandbox")
			}
			if work {
				return app.predecompress(cmd)
			}
			return leaveToChild()
		},
	}
	cmd.Flags().BoolVar(&work, "work", false, "do it now, for the package files on standard input")
	return cmd
}

// leaveToChild starts a background process for the work, so that apt continues.
func leaveToChild() error {
	in, err := hookInput()
	if err != nil {
		return err
	}
	// The child must not inherit apt's descriptors, because it outlives the hook.
	if err := unix.CloseRange(3, ^uint(0)>>1, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("cannot predecompress packages: %w", err)
	}
	child := exec.Command("/proc/self/exe", "predecompress", "--work")
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	list, err := child.StdinPipe()
	if err != nil {
		return err
	}
	// The priority belongs to the thread, and a child inherits it from its parent
	// thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, niceness); err != nil {
		return fmt.Errorf("cannot predecompress packages: %w", err)
	}
	if err := child.Start(); err != nil {
		return fmt.Errorf("cannot predecompress packages: %w", err)
	}
	for _, archive := range in.Archives {
		if _, err := fmt.Fprintln(list, archive.File); err != nil {
			return fmt.Errorf("cannot predecompress packages: %w", err)
		}
	}
	return list.Close()
}

// niceness gives dpkg and maintainer scripts priority. The stand-in for dpkg-deb raises
// the priority of a decompression that it waits for.
const niceness = 15

func (app *App) predecompress(cmd *cobra.Command) error {
	var packages []string
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		packages = append(packages, lines.Text())
	}
	if err := lines.Err(); err != nil {
		return err
	}
	_, noListchanges := os.Lstat("/usr/bin/apt-listchanges")
	return predecompress.Run(cmd.Context(), packages, predecompress.Options{
		Dir:     inside.PredecompressDir,
		Backend: "/usr/bin/dpkg-deb",
		Workers: runtime.NumCPU(),
		News:    noListchanges == nil,
	})
}
