// Package host is the machine that runs, as far as going from one boot
// environment to another needs it: its loader, its kernel's command line and
// boot id, its services.
package host

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/health"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/store"
)

// Attach makes a registry ask the machine's loader what boots next, and
// returns what activates its environments: be.ErrNotSetUp if apt-be init was
// not run. root is where the running environment is mounted.
func Attach(reg *be.Registry, root string) (*activation.Activator, error) {
	noted, err := reg.Boot()
	if err != nil {
		return nil, err
	}
	loader, err := OpenLoader(reg.Store(), noted, root)
	if err != nil {
		return nil, err
	}
	return AttachLoader(reg, loader)
}

// AttachLoader is Attach with a loader that is known.
func AttachLoader(reg *be.Registry, loader boot.Loader) (*activation.Activator, error) {
	st := reg.Store()
	uuid, ok := st.(interface{ FileSystemUUID() string })
	if !ok {
		return nil, fmt.Errorf("cannot boot environments of this store: %w", store.ErrUnsupported)
	}
	parameters, err := CommandLine()
	if err != nil {
		return nil, err
	}
	act := &activation.Activator{
		Registry:   reg,
		Loader:     loader,
		FSUUID:     uuid.FileSystemUUID(),
		Files:      Files(st),
		EndsTrial:  endsTrial(st),
		Parameters: parameters,
	}
	reg.Loader = act.NextBoot
	return act, nil
}

// Files opens files of environments by their paths from the top level of a
// store. A link in an environment is followed as that would, and so never out
// of it.
func Files(st store.Store) boot.Files {
	return func(path string) (io.ReadCloser, error) {
		path = strings.TrimPrefix(path, "/")
		for at := 0; ; {
			i := strings.IndexByte(path[at:], '/')
			if i < 0 {
				return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
			}
			at += i
			if _, err := st.Get(path[:at]); err == nil {
				return inroot.Open(st.Path(path[:at]), path[at:])
			}
			at++
		}
	}
}

// CommandLine is that of the running kernel.
func CommandLine() (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's command line: %w", err)
	}
	return strings.TrimSpace(string(line)), nil
}

// BootID is that of the running kernel (random(4)).
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot tell this boot from others: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// Arming prepares the options of a trial: the services that run now are what
// the new system is measured by.
func Arming(ctx context.Context, method be.Method, deadline time.Duration) (activation.ArmOptions, error) {
	o := activation.ArmOptions{Method: method, Deadline: deadline}
	var err error
	if o.BootID, err = BootID(); err != nil {
		return o, err
	}
	o.Units, err = health.CurrentUnits(ctx)
	return o, err
}
