package method

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot/kexec"
)

// ThisHost returns the queries to this machine. root is the mount point of the running
// environment.
func ThisHost(root string) Host {
	return Host{
		Systemd: systemdVersion,
		Kernel: func() (release, version string, err error) {
			var name unix.Utsname
			err = unix.Uname(&name)
			return unix.ByteSliceToString(name.Release[:]), unix.ByteSliceToString(name.Version[:]), err
		},
		CommandLine: func() (string, error) {
			text, err := os.ReadFile("/proc/cmdline")
			return strings.TrimSpace(string(text)), err
		},
		UsrMounted: func() (bool, error) { return mountinfo.Mounted("/usr") },
		Probe:      kexec.Probe,
		Initrd:     func(release string) (io.ReadCloser, error) { return open(root, "boot/initrd.img-"+release) },
	}
}

// systemdVersion asks init, which may be older than the installed package.
func systemdVersion() (string, error) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return "", nil // see sd_booted(3)
	}
	out, err := exec.Command("systemctl", "show", "--property=Version", "--value").Output()
	if err != nil {
		return "", fmt.Errorf("cannot ask systemd for its version: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
