package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/syscalls"
)

// sockets are sockets of the running system that answer without an effect: the log
// takes lines, the others look up host names and users of a directory such as LDAP.
// nscd's is missing: it would report the running system's accounts, without one that a
// package has just created.
var sockets = []string{
	"/run/systemd/journal/dev-log",
	"/run/systemd/journal/socket",
	"/run/systemd/resolve/io.systemd.Resolve", // nss-resolve(8)
	"/run/avahi-daemon/socket",                // nss-mdns
	"/run/nslcd/socket",                       // nss-ldapd, nslcd(8)
	"/var/lib/sss/pipes/nss",                  // sssd(8)
}

// run mounts an empty /run with the files that maintainer scripts expect. It has no
// /run/systemd/system and no socket of systemd or D-Bus, so scripts do not start or
// stop services.
func (a *assembler) run(spec *Spec) error {
	if err := a.mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755,size=20%"); err != nil {
		return err
	}
	for _, dir := range []struct {
		path string
		mode uint32
	}{{"/run/lock", 0o1777}, {"/run/apt-be", 0o755}, {BinDir, 0o755}, {"/run/systemd", 0o755}} {
		if err := a.mkdir(dir.path, dir.mode); err != nil {
			return err
		}
	}
	if err := a.write(Marker, []byte(spec.Name+"\n"), 0o644); err != nil {
		return err
	}
	if spec.downloads() {
		if err := a.write(syscalls.NetworkMark, nil, 0o644); err != nil {
			return err
		}
	}
	if spec.Bin != "" {
		if err := a.bind(spec.Bin, BinDir, true); err != nil {
			return err
		}
	}
	for _, socket := range sockets {
		if err := a.socket(socket); err != nil {
			return err
		}
	}
	return a.resolver()
}

// socket shows a socket of the running system, if it exists. A socket outside of /run
// also exists in the snapshot, without a listener.
func (a *assembler) socket(path string) error {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != fs.ModeSocket {
		return nil
	}
	if strings.HasPrefix(path, "/run/") {
		if err := a.put(path, nil, 0o666); err != nil {
			return err
		}
	}
	err := a.bind(path, path, true) // its mode is that of the running system's
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the socket belongs to a package that this root lacks
	}
	return err
}

const resolvConf = "/etc/resolv.conf"

// resolver copies the running root's resolv.conf if it is a link into /run, as with
// systemd-resolved, resolvconf and NetworkManager.
func (a *assembler) resolver() error {
	target, err := a.dangling(resolvConf)
	if err != nil || !strings.HasPrefix(target, "/run/") {
		return nil // a file, which the snapshot has, too, or no file
	}
	data, err := os.ReadFile(resolvConf)
	if err != nil {
		return nil
	}
	return a.put(target, data, 0o644)
}

// dangling follows the links inside from a path, and returns the missing place at their
// end. The error is ErrExist if there is a file.
func (a *assembler) dangling(path string) (string, error) {
	const most = 40 // links in a path (path_resolution(7))
	done, rest := "/", path
	for links := 0; links <= most; {
		part, more, further := strings.Cut(strings.TrimLeft(rest, "/"), "/")
		next := filepath.Join(done, part)
		if part == ".." {
			done, rest = next, more
			continue
		}
		var target string
		err := a.inParent(next, func(name string) (err error) {
			target, err = os.Readlink(name)
			return err
		})
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return filepath.Join(next, more), nil
		case errors.Is(err, unix.EINVAL) && !further: // no link
			return "", fs.ErrExist
		case errors.Is(err, unix.EINVAL):
			done, rest = next, more
		case err != nil:
			return "", err
		default:
			links++
			if filepath.IsAbs(target) {
				done = "/"
			}
			rest = filepath.Join(target, more)
		}
	}
	return "", unix.ELOOP
}
