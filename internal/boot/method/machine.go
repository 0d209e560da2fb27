package method

import (
	"io"
	"os"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/systemd"
)

// ThisHost returns the queries to this machine. root is the mount point of the running
// environment.
func ThisHost(root string) Host {
	return Host{
		Systemd: systemd.Version,
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
