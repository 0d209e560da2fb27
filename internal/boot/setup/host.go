package setup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// Host is what is asked and changed of a machine.
type Host struct {
	Root   string                            // the running root, "/" but for tests
	Sys    string                            // where sysfs is
	Dev    string                            // where devices are
	Mounts func() ([]*mountinfo.Info, error) // those of this process, as in proc(5)
	// Run runs a command of the machine and returns its standard output.
	Run func(ctx context.Context, name string, args ...string) (string, error)
	// Mount and Unmount are mount(2) and umount2(2).
	Mount   func(source, target, kind, data string) error
	Unmount func(target string) error
}

// Live is the machine that this process runs on.
func Live() *Host {
	return &Host{
		Root:   "/",
		Sys:    "/sys",
		Dev:    "/dev",
		Mounts: func() ([]*mountinfo.Info, error) { return mountinfo.GetMounts(nil) },
		Run:    run,
		Mount: func(source, target, kind, data string) error {
			return os.NewSyscallError("mount", unix.Mount(source, target, kind, unix.MS_NOSUID|unix.MS_NODEV, data))
		},
		Unmount: func(target string) error {
			return os.NewSyscallError("umount", unix.Unmount(target, unix.UMOUNT_NOFOLLOW))
		},
	}
}

// QuietVar is set in the environment of all commands that this package runs:
// apt-be's own hooks of GRUB, the kernel and initramfs-tools do nothing then.
// They would wait for a lock that is held, and the menu is written anyway.
const QuietVar = "APT_BE_SETUP"

// searchPath is where the tools of boot loaders are, whatever PATH says.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run is Host.Run. An error has the last lines of what the command said.
func run(ctx context.Context, name string, args ...string) (string, error) {
	program := name
	for _, dir := range filepath.SplitList(searchPath) {
		if file := filepath.Join(dir, name); isProgram(file) {
			program = file
			break
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), QuietVar+"=1", "LC_ALL=C.UTF-8", "PATH="+searchPath)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s: %w%s", name, err, lastLines(said.String()))
	}
	return out.String(), nil
}

// lastLines is the end of what a command said, for an error's text.
func lastLines(said string) string {
	const most = 3
	lines := strings.Split(strings.TrimSpace(said), "\n")
	if len(lines) > most {
		lines = lines[len(lines)-most:]
	}
	if text := strings.Join(lines, "; "); text != "" {
		return ": " + text
	}
	return ""
}

func isProgram(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// path is a file of the running root.
func (h *Host) path(file string) string { return filepath.Join(h.Root, file) }

// has says whether a file or directory of the running root is there.
func (h *Host) has(file string) bool {
	_, err := os.Stat(h.path(file))
	return err == nil
}

// hasCommand says whether the running root has a command.
func (h *Host) hasCommand(name string) bool {
	for _, dir := range filepath.SplitList(searchPath) {
		if isProgram(h.path(filepath.Join(dir, name))) {
			return true
		}
	}
	return false
}

// mountAt is what is mounted at a directory of the running root, or nil. An
// automount point counts as nothing: it is not there yet.
func (h *Host) mountAt(dir string) (*mountinfo.Info, error) {
	mounts, err := h.Mounts()
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	var found *mountinfo.Info
	for _, m := range mounts { // of those over each other, the last one is seen
		if m.Mountpoint == h.path(dir) && m.FSType != "autofs" {
			found = m
		}
	}
	return found, nil
}

// readIfAny reads a file that need not be there.
func readIfAny(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
