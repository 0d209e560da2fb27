package share

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/merge"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/rootfs"
)

// systems are directories that belong to the system itself, with all below them, or
// that have no files on a disk.
var systems = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr"}

// databases are directories that describe the installed packages, so they belong to the
// packages' files.
var databases = []string{"/var/lib/dpkg", "/var/lib/apt", "/var/lib/apt-be", "/var/cache/apt"}

// within reports whether a path is dir or below it.
func within(file, dir string) bool {
	return file == dir || strings.HasPrefix(file, strings.TrimSuffix(dir, "/")+"/")
}

// checkName refuses directories by their names. It is pure.
func checkName(dir string) error {
	switch {
	case dir == "/":
		return refuse("it is the root directory")
	case slices.ContainsFunc(systems, func(system string) bool { return within(dir, system) }):
		return refuse("it is a part of the system itself, which each boot environment has separately")
	}
	for _, db := range databases {
		if within(dir, db) || within(db, dir) {
			return refuse("%s describes the packages of a boot environment, which each one has separately", db)
		}
	}
	return nil
}

// checkMounts refuses a directory on another file system, or with a mount below it.
func checkMounts(dir string, points map[string]string) error {
	for _, point := range slices.Sorted(maps.Keys(points)) {
		name, isShare := strings.CutPrefix(points[point], Dir+"/")
		switch {
		case point == "/":
		case point == dir && isShare:
			return refuse("it is already the share %s", name)
		case point == dir:
			return refuse("it is a mount point, so it is shared already")
		case within(dir, point):
			return refuse("it is not in the root file system: %s is mounted above it", point)
		case within(point, dir):
			return refuse("%s is mounted in it", point)
		}
	}
	return nil
}

// checkEntries refuses a directory for which the fstab has an entry.
func checkEntries(dir string, entries []fstab.Entry) error {
	for _, e := range entries {
		if e.Dir == "/" || !within(dir, e.Dir) && !within(e.Dir, dir) || !strings.HasPrefix(e.Dir, "/") {
			continue
		}
		if name, isShare := strings.CutPrefix(e.Subvolume(), Dir+"/"); isShare && e.Dir == dir {
			return refuse("it is already the share %s", name)
		}
		return refuse("the fstab has an entry for %s", e.Dir)
	}
	return nil
}

// checkWay refuses a path that is not a directory, or that contains a link.
func checkWay(root *rootfs.Root, dir string) error {
	at := "."
	for part := range strings.SplitSeq(strings.TrimPrefix(dir, "/"), "/") {
		at = path.Join(at, part)
		node, err := root.Node(at)
		if err != nil {
			return err
		}
		switch {
		case node.Kind == merge.Missing:
			return refuse("/%s does not exist", at)
		case node.Kind != merge.Directory:
			return refuse("/%s is %s", at, node.Kind)
		}
	}
	return nil
}

// checkNested refuses a directory that is a subvolume or contains one.
func (s *Shares) checkNested(env, dir string) error {
	nested, err := s.store.Nested(env)
	if err != nil {
		return err
	}
	var inside []string
	for _, sub := range nested {
		at := "/" + strings.TrimPrefix(strings.TrimPrefix(sub.Path, env), "/")
		switch {
		case within(at, dir):
			inside = append(inside, at)
		case within(dir, at):
			return refuse("it is in a separate subvolume, %s", at)
		}
	}
	if len(inside) > 0 {
		return refuse("it contains subvolumes: %s", list(inside)).
			hint("replace them by directories, or let the program that made them do so")
	}
	return nil
}

// checkPackages refuses a directory with packages' files, because those belong to a
// version of the package.
func checkPackages(root *rootfs.Root, dir, rootDir string) error {
	files, err := pkgdb.ReadFiles(rootDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var owned []string
	for _, name := range slices.Sorted(maps.Keys(files.Packaged)) {
		if !within("/"+name, dir) {
			continue
		}
		node, err := root.Node(name)
		if err != nil {
			return err
		}
		if node.Kind != merge.Missing && node.Kind != merge.Directory {
			owned = append(owned, "/"+name)
		}
	}
	if len(owned) > 0 {
		return refuse("it contains files of packages: %s", list(owned))
	}
	return nil
}

// list formats the first few of several names.
func list(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// nameFor returns the default name of the share for a directory.
func nameFor(dir string) string { return strings.ReplaceAll(strings.Trim(dir, "/"), "/", "-") }

// entryFor returns the fstab entry that mounts a subvolume at dir, with the options of
// the root's entry.
func (s *Shares) entryFor(text []byte, dir, subvolume string) (fstab.Entry, error) {
	e, err := fstab.BesideRoot(text, dir, subvolume)
	if !errors.Is(err, fstab.ErrNoRoot) {
		return e, err
	}
	e = fstab.Entry{Source: s.store.Device(), Dir: dir, Type: "btrfs", Options: "defaults,subvol=" + subvolume}
	if named, ok := s.store.(interface{ FileSystemUUID() string }); ok {
		e.Source = "UUID=" + named.FileSystemUUID()
	}
	return e, nil
}

// enter adds an entry for a share at dir to an environment's fstab, unless it has one.
func (s *Shares) enter(env, dir, name string) error {
	return inroot.EditOrMake(s.store.Path(env), fstabFile, func(old []byte) ([]byte, bool, error) {
		subvolume := Dir + "/" + name
		if slices.ContainsFunc(fstab.Entries(old), func(e fstab.Entry) bool { return e.Subvolume() == subvolume }) {
			return old, false, nil
		}
		e, err := s.entryFor(old, dir, subvolume)
		return fstab.Append(old, e), true, err
	})
}

// leave removes the entry of a share from an environment's fstab.
func (s *Shares) leave(env, name string) error {
	return inroot.Edit(s.store.Path(env), fstabFile, func(old []byte) ([]byte, bool, error) {
		out, changed := fstab.Remove(old, func(e fstab.Entry) bool { return e.Subvolume() == Dir+"/"+name })
		return out, changed, nil
	})
}

// makeMountPoint creates dir in an environment, with the attributes that it has in
// another one, unless it exists.
func (s *Shares) makeMountPoint(env, like, dir string) error {
	return s.withRoots(env, like, func(to, from *rootfs.Root) error {
		name := strings.TrimPrefix(dir, "/")
		there, err := to.Node(name)
		if err != nil || there.Kind != merge.Missing {
			return err
		}
		node, err := from.Node(name)
		if err != nil {
			return err
		}
		return (&rootfs.Changer{To: to, From: from}).Copy(name, node, node.Attributes)
	})
}

func (s *Shares) withRoots(a, b string, do func(a, b *rootfs.Root) error) error {
	first, err := rootfs.Open(s.store.Path(a))
	if err != nil {
		return err
	}
	defer first.Close()
	second, err := rootfs.Open(s.store.Path(b))
	if err != nil {
		return err
	}
	defer second.Close()
	return do(first, second)
}
