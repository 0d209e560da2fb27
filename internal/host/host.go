// Package host gives access to the parts of the running machine that matter for going
// to another boot environment: its loader, kernel command line, boot ID and services.
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

// Attach connects a registry with the machine's loader, and returns the activator of
// its environments. The error is be.ErrNotSetUp if apt-be init was not run. root is the
// mount point of the running environment.
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

// AttachLoader is Attach with a given loader.
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

// Files opens files of environments by their paths from the top level of a store. Links
// stay inside their environment.
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

// CommandLine returns the running kernel's command line.
func CommandLine() (string, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return "", fmt.Errorf("cannot read the kernel's command line: %w", err)
	}
	return strings.TrimSpace(string(line)), nil
}

// BootID returns the running kernel's boot ID (random(4)).
func BootID() (string, error) {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("cannot identify this boot: %w", err)
	}
	return strings.TrimSpace(string(id)), nil
}

// Arming returns the options of a trial, with the services that are active now: the new
// system must have them, too.
func Arming(ctx context.Context, method be.Method, deadline time.Duration) (activation.ArmOptions, error) {
	o := activation.ArmOptions{Method: method, Deadline: deadline}
	var err error
	if o.BootID, err = BootID(); err != nil {
		return o, err
	}
	o.Units, err = health.CurrentUnits(ctx)
	return o, err
}
