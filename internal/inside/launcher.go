// Package inside runs commands in the root of a boot environment: it describes the
// sandbox, shows the files of the running system that a package frontend reads, lends it
// apt's package cache, speeds it up, and passes signals on.
package inside

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/store"
)

// RunDir contains state that ends with the running system, and, in a sandbox, the files
// that the sandbox gets from apt-be.
const RunDir = "/run/apt-be"

// registryDir is the mount point of the registry; it belongs to the running system.
const registryDir = "/var/lib/apt-be"

// Launcher runs commands in the roots of a store, each in a sandbox.
type Launcher struct {
	Store store.Store
	Lib   string // the directory of apt-be's own files, /usr/lib/apt-be
	Log   logrus.FieldLogger

	others *sandbox.ForeignMounts // the result of Look
	cache  string                 // apt's package cache, if it is not debcache.Place
}

// Look finds the other file systems of the running system, for all later sandboxes. It
// returns the mounts that do not respond, and takes some seconds if there is one.
func (l *Launcher) Look() ([]sandbox.UnresponsiveMount, error) {
	others, err := sandbox.FindForeignMounts(registryDir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the mounts of the running system: %w", err)
	}
	l.others = &others
	return others.Unresponsive, nil
}

// Root is a root to run a command in.
type Root struct {
	Name      string // the name of the environment
	Subvolume string // the path from the top level
	UUID      string // of the subvolume
	ReadOnly  bool
	Parts     []be.Part // the root's own parts
}

// RootOf returns the root of a build.
func RootOf(build *be.Build) Root {
	return Root{Name: build.Name, Subvolume: build.Path, UUID: build.Scratch, Parts: build.Record.Parts}
}

// Spec describes a sandbox for a command in a root, with argv[0] and path as given.
func (l *Launcher) Spec(root Root, path string, argv []string) (sandbox.Spec, error) {
	spec := sandbox.Spec{
		Device:    l.Store.Device(),
		Subvolume: root.Subvolume,
		ReadOnly:  root.ReadOnly,
		Dir:       filepath.Join(RunDir, "root"),
		Name:      root.Name,
		Policy:    filepath.Join(l.Lib, "sandbox", "policy-rc.d"),
		Bin:       filepath.Join(l.Lib, "sandbox", "bin"),
		Path:      path,
		Args:      argv,
		Env:       environment(os.Environ()),
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return spec, fmt.Errorf("cannot prepare the sandbox: %w", err)
	}
	if dir, err := unix.Getwd(); err == nil { // os.Getwd would access the file system
		spec.WorkDir = dir
	}
	if root.ReadOnly {
		return spec, nil
	}
	scratch := be.ScratchDir(root.UUID)
	if err := private(l.Store.Path(filepath.Dir(scratch))); err != nil {
		return spec, fmt.Errorf("cannot prepare the sandbox: %w", err)
	}
	others := l.others
	if others == nil {
		found, err := sandbox.FindForeignMounts(registryDir)
		if err != nil {
			return spec, fmt.Errorf("cannot find the mounts of the running system: %w", err)
		}
		others = &found
	}
	points, err := mounts.Points()
	if err != nil {
		return spec, err
	}
	spec.ForeignMounts = l.hideCaches(ownFirst(root.Parts, points["/"], others.Show(scratch)), others.Unresponsive)
	return spec, nil
}

// private restricts a directory to root, and creates it if it is missing. It contains
// the files that scripts write to other file systems, also setuid programs.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// ownFirst returns the mounts of the running system that a root needs. The root has its
// own parts. A directory of the root that is mounted at a second place is shown from
// the root. running is the path of the running system's subvolume.
func ownFirst(parts []be.Part, running string, shares []sandbox.ForeignMount) []sandbox.ForeignMount {
	places := map[string]string{running: ""} // keyed by the path from the top level
	isPart := func(share sandbox.ForeignMount) bool {
		return slices.ContainsFunc(parts, func(part be.Part) bool { return part.Place == share.Target })
	}
	for _, share := range shares {
		if share.Within != "" && isPart(share) {
			places[share.Within] = share.Target
		}
	}
	var rest []sandbox.ForeignMount
	for _, share := range shares {
		if isPart(share) {
			continue
		}
		for holder := share.Within; holder != "" && holder != "."; holder = path.Dir(holder) {
			if place, ok := places[holder]; ok && holder != share.Within {
				share.Own = place + strings.TrimPrefix(share.Within, holder)
				break
			}
		}
		if share.Own != share.Target { // otherwise it is nested in the root
			rest = append(rest, share)
		}
	}
	return rest
}

// environment returns the user's environment, with the stand-ins first in PATH. It
// suppresses needrestart, because no service runs inside. It drops a TMPDIR in /tmp or
// /run, as libpam-tmpdir makes, because the directory does not exist inside.
func environment(env []string) []string {
	inside := make([]string, 0, len(env)+2)
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "PATH":
			path = value
			continue
		case "NEEDRESTART_SUSPEND":
			continue
		case "TMPDIR", "TEMPDIR", "TMP", "TEMP", "XDG_RUNTIME_DIR":
			if isHidden(value) {
				continue
			}
		}
		inside = append(inside, entry)
	}
	return append(inside, "PATH="+sandbox.BinDir+":"+path, "NEEDRESTART_SUSPEND=1")
}

// Run is a run of a frontend in a root.
type Run struct {
	Frontend frontend.Frontend
	Argv     []string // the command line, with argv[0]
	Reads    Places   // the files that the frontend reads
	Speed    aptconf.Speed
	// AllowOutside are mount points on which files of upgraded packages may keep the
	// old version.
	AllowOutside []string
}

// FrontendSpec describes a sandbox for a run of a frontend in a root.
func (l *Launcher) FrontendSpec(root Root, run Run) (sandbox.Spec, error) {
	program, err := RealPath(run.Frontend, l.Store.Path(root.Subvolume))
	if err != nil {
		return sandbox.Spec{}, err
	}
	spec, err := l.Spec(root, program, run.Argv)
	if err != nil {
		return spec, err
	}
	run.Reads.Files = append(filesAmong(run.Argv[1:]), run.Reads.Files...)
	if err := run.Reads.show(&spec); err != nil {
		return spec, err
	}
	applySpeed(&spec, run.Speed)
	return spec, noteOutside(&spec, run.AllowOutside)
}
