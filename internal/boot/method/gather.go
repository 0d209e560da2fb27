package method

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/kexec"
	"github.com/apt-be/apt-be/internal/boot/softreboot"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// Host has the queries to the running system.
type Host struct {
	Systemd     func() (string, error)                      // the version of the running systemd; "" with another init
	Kernel      func() (release, version string, err error) // as uname -r and -v print them
	CommandLine func() (string, error)                      // of the kernel
	UsrMounted  func() (bool, error)                        // reports whether /usr is a separate mount
	Probe       func(kernel *os.File) error                 // checks that a kexec can start the kernel, see [kexec.Probe]
	Initrd      func(release string) (io.ReadCloser, error) // the running kernel's initrd; fs.ErrNotExist
}

// Target is the environment to go to.
type Target struct {
	Root        string // the directory at which this process reaches its root
	Kernel      be.Kernel
	CommandLine string // of its kernel
}

// Gather gathers the facts for a choice, except for the boot loader's level. It changes
// nothing.
func Gather(m Host, t Target) (Facts, error) {
	f, err := gather(m, t)
	if err != nil {
		return Facts{}, fmt.Errorf("cannot choose a method: %w", err)
	}
	return f, nil
}

func gather(m Host, t Target) (f Facts, err error) {
	running, next := &f.Soft.Running, &f.Soft.Next
	if running.Systemd, err = m.Systemd(); err != nil {
		return f, err
	}
	if running.Release, running.Version, err = m.Kernel(); err != nil {
		return f, err
	}
	if running.CommandLine, err = m.CommandLine(); err != nil {
		return f, err
	}
	if running.UsrMounted, err = m.UsrMounted(); err != nil {
		return f, err
	}
	if running.Initrd, err = digest(m.Initrd(running.Release)); err != nil {
		return f, err
	}
	next.Release, next.CommandLine = t.Kernel.Version, t.CommandLine
	if next.Systemd, err = installed(t.Root, "systemd"); err != nil {
		return f, err
	}
	if next.Modules, err = hasModules(t.Root, running.Release); err != nil {
		return f, err
	}
	if t.Kernel.Initrd != "" {
		if next.Initrd, err = digest(open(t.Root, t.Kernel.Initrd)); err != nil {
			return f, err
		}
	}
	image, err := inroot.Open(t.Root, t.Kernel.Image)
	if err != nil {
		return f, err
	}
	defer image.Close()
	next.Build, _ = softreboot.ReadBuild(image) // "" means unknown
	f.Kexec = kexecRefusal(m, image, t.CommandLine)
	return f, nil
}

// kexecRefusal returns the reason why the target cannot be reached by kexec, or nil.
func kexecRefusal(m Host, image *os.File, commandLine string) error {
	if len(commandLine) > kexec.MaxCommandLine {
		return fmt.Errorf("%w: the command line is longer than %d bytes", kexec.ErrUnsupported, kexec.MaxCommandLine)
	}
	err := m.Probe(image)
	if errors.Is(err, kexec.ErrLoaded) {
		return nil // the running kernel already accepted it
	}
	return err
}

// open is inroot.Open for readers.
func open(root, path string) (io.ReadCloser, error) { return inroot.Open(root, path) }

// digest returns the digest of a file, or "" if the file is missing.
func digest(file io.ReadCloser, err error) (string, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// installed returns the version of a package in a root, or "".
func installed(root, name string) (string, error) {
	db, err := pkgdb.Read(root)
	if err != nil {
		return "", err
	}
	for _, p := range db.Packages {
		if p.Name == name && p.Status == "installed" {
			return p.Version, nil
		}
	}
	return "", nil
}

// hasModules reports whether a root has the modules of a kernel, with the index that
// modprobe(8) needs.
func hasModules(root, release string) (bool, error) {
	index, err := inroot.Open(root, "lib/modules/"+release+"/modules.dep.bin")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, index.Close()
}
