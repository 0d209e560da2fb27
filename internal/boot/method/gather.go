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

// Host is what is asked of the running system.
type Host struct {
	Systemd     func() (string, error)                      // its version as init says it; "" if init is another
	Kernel      func() (release, version string, err error) // as uname -r and -v say them
	CommandLine func() (string, error)                      // of the kernel
	UsrMounted  func() (bool, error)                        // /usr is a mount of its own
	Probe       func(kernel *os.File) error                 // proves that a kexec starts it, see [kexec.Probe]
	Initrd      func(release string) (io.ReadCloser, error) // that belongs to the running kernel; fs.ErrNotExist
}

// Target is the environment that is to run.
type Target struct {
	Root        string // the directory at which this process reaches it
	Kernel      be.Kernel
	CommandLine string // of its kernel
}

// Gather finds the facts for a choice, but for the level of the boot loader.
// It changes nothing.
func Gather(m Host, t Target) (Facts, error) {
	f, err := gather(m, t)
	if err != nil {
		return Facts{}, fmt.Errorf("cannot choose how to go there: %w", err)
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
	next.Build, _ = softreboot.ReadBuild(image) // "" says that it can't be told
	f.Kexec = kexecRefusal(m, image, t.CommandLine)
	return f, nil
}

// kexecRefusal is why the target is not reached by kexec, or nil.
func kexecRefusal(m Host, image *os.File, commandLine string) error {
	if len(commandLine) > kexec.MaxCommandLine {
		return fmt.Errorf("%w: the command line is longer than %d bytes", kexec.ErrUnsupported, kexec.MaxCommandLine)
	}
	err := m.Probe(image)
	if errors.Is(err, kexec.ErrLoaded) {
		return nil // as it did with that one
	}
	return err
}

// open is inroot.Open for those who only read.
func open(root, path string) (io.ReadCloser, error) { return inroot.Open(root, path) }

// digest is that of what is in a file, "" if there is none.
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

// installed is the version of a package in a root, or "".
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

// hasModules says whether a root has the modules of a kernel, with the index
// that modprobe(8) needs.
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
