package redirect

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/sandbox"
	"github.com/apt-be/apt-be/internal/store"
)

// runDir holds what lasts no longer than the running system.
const runDir = "/run/apt-be"

// registryDir is where the registry is mounted: the running system's business.
const registryDir = "/var/lib/apt-be"

// Inside describes sandboxes for the roots of a store.
type Inside struct {
	Store store.Store
	Lib   string // where apt-be's own files are installed, /usr/lib/apt-be

	others *sandbox.ForeignMounts // what Look found
	cache  string                 // apt's package cache, where that is not debcache.Place
}

// Look finds the other file systems of the running system, for all sandboxes from
// here on, which takes some seconds if one does not answer: those are returned.
func (i *Inside) Look() ([]sandbox.UnresponsiveMount, error) {
	others, err := sandbox.FindForeignMounts(registryDir)
	if err != nil {
		return nil, fmt.Errorf("cannot find the mounts of the running system: %w", err)
	}
	i.others = &others
	return others.Unresponsive, nil
}

// Root is a root to run something in.
type Root struct {
	Name      string // of the environment
	Subvolume string // from the top level
	UUID      string // of the subvolume
	ReadOnly  bool
	Parts     []be.Part // that it has of its own
}

// Spec describes a sandbox for a command in a root, with argv[0] and path as given.
func (i Inside) Spec(root Root, path string, argv []string) (sandbox.Spec, error) {
	spec := sandbox.Spec{
		Device:    i.Store.Device(),
		Subvolume: root.Subvolume,
		ReadOnly:  root.ReadOnly,
		Dir:       filepath.Join(runDir, "root"),
		Name:      root.Name,
		Policy:    filepath.Join(i.Lib, "sandbox", "policy-rc.d"),
		Bin:       filepath.Join(i.Lib, "sandbox", "bin"),
		Path:      path,
		Args:      argv,
		Env:       environment(os.Environ()),
	}
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return spec, fmt.Errorf("cannot prepare the sandbox: %w", err)
	}
	if dir, err := unix.Getwd(); err == nil { // os.Getwd asks the file system
		spec.WorkDir = dir
	}
	if root.ReadOnly {
		return spec, nil
	}
	scratch := be.ScratchDir(root.UUID)
	if err := private(i.Store.Path(filepath.Dir(scratch))); err != nil {
		return spec, fmt.Errorf("cannot prepare the sandbox: %w", err)
	}
	others := i.others
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
	spec.ForeignMounts = i.hideCaches(ownFirst(root.Parts, points["/"], others.Show(scratch)), others.Unresponsive)
	return spec, nil
}

// private makes a directory one that only root can enter, whether it is there or not:
// what scripts write to other file systems lies below it, setuid programs too.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// ownFirst returns the mounts of the running system that a root has to be given. It
// has its own parts, and of a directory of its own that is mounted at a second place
// the root's own is shown. running is the path of the running system's subvolume.
func ownFirst(parts []be.Part, running string, shares []sandbox.ForeignMount) []sandbox.ForeignMount {
	places := map[string]string{running: ""} // by the path from the top level
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
		if share.Own != share.Target { // else it is nested in the root
			rest = append(rest, share)
		}
	}
	return rest
}

// environment is the user's own, with the stand-ins first in PATH. needrestart
// would look for services to restart, of which there are none inside. A
// directory for temporary files in /tmp or /run, as libpam-tmpdir makes, is not
// there.
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
