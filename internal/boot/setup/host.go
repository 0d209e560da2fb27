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

// Host has the queries to a machine and the changes of it.
type Host struct {
	Root   string                            // the running root: "/" except in tests
	Sys    string                            // the mount point of sysfs
	Dev    string                            // the directory of devices
	Mounts func() ([]*mountinfo.Info, error) // the mounts of this process, as in proc(5)
	// Run runs a command and returns its standard output.
	Run func(ctx context.Context, name string, args ...string) (string, error)
	// Mount and Unmount are mount(2) and umount2(2).
	Mount   func(source, target, kind, data string) error
	Unmount func(target string) error
}

// Live returns the machine on which this process runs.
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

// QuietVar is set in the environment of all commands that this package runs: with it,
// apt-be's own hooks of GRUB, the kernel and initramfs-tools do nothing. They would
// wait for the lock that this process holds, and this process writes the menu.
const QuietVar = "APT_BE_SETUP"

// searchPath has the tools of boot loaders, whatever PATH is.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run is Host.Run. The error has the last lines of the command's output.
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

// lastLines returns the end of a command's output, for the text of an error.
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

// path returns the path of a file of the running root.
func (h *Host) path(file string) string { return filepath.Join(h.Root, file) }

// has reports whether a file or directory of the running root exists.
func (h *Host) has(file string) bool {
	_, err := os.Stat(h.path(file))
	return err == nil
}

// hasCommand reports whether the running root has a command.
func (h *Host) hasCommand(name string) bool {
	for _, dir := range filepath.SplitList(searchPath) {
		if isProgram(h.path(filepath.Join(dir, name))) {
			return true
		}
	}
	return false
}

// mountAt returns the mount at a directory of the running root, or nil. An automount
// point counts as no mount.
func (h *Host) mountAt(dir string) (*mountinfo.Info, error) {
	mounts, err := h.Mounts()
	if err != nil {
		return nil, fmt.Errorf("cannot read the mounts: %w", err)
	}
	var found *mountinfo.Info
	for _, m := range mounts { // the last of several mounts is the visible one
		if m.Mountpoint == h.path(dir) && m.FSType != "autofs" {
			found = m
		}
	}
	return found, nil
}

// readIfAny reads a file that may be missing.
func readIfAny(file string) ([]byte, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return data, err
}
