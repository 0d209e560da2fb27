// Package parts determines which of the file systems that a root mounts belong to the
// root. A separate subvolume in which packages have files is a part of the root:
// without it, an upgrade would leave files and a package database of different
// versions. A mount of another file system cannot be a part.
package parts

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/inroot"
	"github.com/apt-be/apt-be/internal/mounts"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/store"
)

// database is dpkg's database. The subvolume that contains it is always a part of the
// root.
const database = "/var/lib/dpkg"

// never are directories in which no subvolume is a part. apt-be init handles those of
// the boot loader; /home belongs to users, whatever a package puts there.
var never = []string{"/boot", "/efi", "/home"}

// Of returns the parts of an environment: subvolumes of the same file system that its
// fstab mounts and in which packages have files. For the running environment, only
// mounted ones count.
func Of(reg *be.Registry, e be.Env) ([]be.Part, error) {
	found, err := of(reg, e)
	if err != nil {
		return nil, fmt.Errorf("cannot find which mounts belong to %s: %w", e.Name, err)
	}
	return found, nil
}

// Since returns the current parts of an environment's origin. known are its parts at
// the time when the environment was made. During shutdown parts may already be
// unmounted; they count as long as the fstab names them.
func Since(reg *be.Registry, origin be.Env, known []be.Part) ([]be.Part, error) {
	found, err := Of(reg, origin)
	if err != nil || len(known) == 0 {
		return found, err
	}
	st := reg.Store()
	text, err := inroot.ReadFile(st.Path(origin.Subvolume.Path), "/etc/fstab")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries := fstab.Entries(text)
	named := byFstab(st, entries)
	for _, part := range known {
		if slices.ContainsFunc(found, func(p be.Part) bool { return p.Place == part.Place }) {
			continue
		}
		i := slices.IndexFunc(entries, func(e fstab.Entry) bool { return e.Dir == cmp.Or(part.Named, part.Place) })
		if i < 0 {
			continue // the place is a plain directory of the root again
		}
		subvolume, err := named(entries[i])
		if err != nil {
			return nil, err
		}
		if subvolume != "" {
			part.Subvolume = subvolume
		}
		if _, err := st.Get(part.Subvolume); err != nil {
			return nil, fmt.Errorf("cannot find the subvolume that /etc/fstab of %s mounts at %s: %w", origin.Name, part.Place, err)
		}
		found = append(found, part)
	}
	return found, nil
}

func of(reg *be.Registry, e be.Env) ([]be.Part, error) {
	st := reg.Store()
	text, err := inroot.ReadFile(st.Path(e.Subvolume.Path), "/etc/fstab")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	mounted := byFstab(st, fstab.Entries(text))
	if e.Running {
		for _, entry := range fstab.Entries(text) {
			if strings.Contains(entry.Options, "x-systemd.automount") && entry.Type == "btrfs" {
				_, _ = os.ReadDir(entry.Dir) // reading the directory triggers an automount, as dpkg's access would
			}
		}
		if mounted, err = byMount(st, mounted, e); err != nil {
			return nil, err
		}
	}
	var parts, candidates []be.Part
	for _, entry := range fstab.Entries(text) {
		if (entry.Type != "btrfs" && entry.Type != "auto") || !path.IsAbs(entry.Dir) || entry.Dir == "/" ||
			slices.ContainsFunc(never, func(dir string) bool { return within(dir, entry.Dir) }) {
			continue
		}
		subvolume, err := mounted(entry)
		if err != nil {
			return nil, err
		}
		if subvolume == "" || subvolume == e.Subvolume.Path || apart(subvolume) {
			continue
		}
		part := be.Part{Place: place(reg.Dir(e), entry.Dir), Subvolume: subvolume}
		if part.Place != entry.Dir {
			part.Named = entry.Dir
		}
		// An environment's own parts are nested in it.
		if subvolume == e.Subvolume.Path+part.Place || part.Place == "/usr" || within(part.Place, database) {
			parts = append(parts, part)
		} else {
			candidates = append(candidates, part)
		}
	}
	if len(candidates) == 0 {
		return parts, nil
	}
	packaged, err := withPackages(st, reg.Dir(e), candidates, fstab.Bound(fstab.Entries(text)))
	return append(parts, packaged...), err
}

// place resolves a directory of a root that the fstab names, possibly through a link,
// to the real mount point. If that fails, it returns dir.
func place(root, dir string) string {
	real, err := filepath.EvalSymlinks(filepath.Join(root, dir))
	if err != nil {
		return dir
	}
	if root == "/" {
		return real
	}
	top, err := filepath.EvalSymlinks(root)
	below, inside := strings.CutPrefix(real, top+"/")
	if err != nil || !inside {
		return dir
	}
	return "/" + below
}

// apart reports whether a subvolume is apt-be's own, or a share.
func apart(subvolume string) bool {
	return slices.ContainsFunc([]string{be.ShareDir, be.ShareSnapshotDir, be.HomeDir, be.BaseDir, be.GRUBDir}, func(dir string) bool {
		return within(dir, subvolume)
	})
}

// within reports whether a path is dir or below dir.
func within(dir, name string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// byMount returns a function that returns the subvolume of the store that is mounted at
// an fstab entry's place in the running system, or "". It always includes an
// environment's own parts.
func byMount(st store.Store, named func(fstab.Entry) (string, error), running be.Env) (func(fstab.Entry) (string, error), error) {
	points, err := mounts.Points()
	if err != nil {
		return nil, err
	}
	return func(e fstab.Entry) (string, error) {
		dir := place("/", e.Dir)
		subvolume := points[dir]
		if store.CheckNewPath(subvolume) != nil { // nothing is mounted there, or not a btrfs
			if subvolume, err := named(e); err != nil || subvolume == running.Subvolume.Path+dir {
				return subvolume, err
			}
			return "", nil
		}
		sub, err := st.Locate(dir)
		if errors.Is(err, store.ErrUnsupported) || err == nil && sub.Path != subvolume {
			return "", nil // another file system, or a directory of a subvolume
		}
		return sub.Path, err
	}, nil
}

// byFstab is byMount for a system that does not run. It skips entries that the fstab
// alone cannot resolve, such as labels.
func byFstab(st store.Store, entries []fstab.Entry) func(fstab.Entry) (string, error) {
	sources := map[string]bool{st.Device(): true}
	if named, ok := st.(interface{ FileSystemUUID() string }); ok {
		sources["UUID="+named.FileSystemUUID()] = true
	}
	for _, e := range entries {
		if e.Dir == "/" {
			sources[e.Source] = true
		}
	}
	return func(e fstab.Entry) (string, error) {
		subvolume := e.Subvolume()
		if !sources[e.Source] || store.CheckNewPath(subvolume) != nil {
			return "", nil
		}
		_, err := st.Get(subvolume)
		if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume) || errors.Is(err, store.ErrBadPath) {
			return "", nil
		}
		return subvolume, err
	}
}

// withPackages returns the candidates in which packages have files. Directories do not
// count, because base-files contains /home and /srv. For bind mounts, the files at the
// bound places count.
func withPackages(st store.Store, root string, candidates []be.Part, bound map[string]string) ([]be.Part, error) {
	if _, err := os.Lstat(filepath.Join(root, database, "info")); errors.Is(err, fs.ErrNotExist) {
		if root == "/" {
			return nil, nil // already unmounted; Since knows the parts
		}
		// For a system that does not run, the package database may itself be in a part.
		return slices.DeleteFunc(candidates, func(p be.Part) bool {
			return !slices.ContainsFunc([]string{"/opt", "/usr", "/var"}, func(dir string) bool { return within(dir, p.Place) })
		}), nil
	}
	places := slices.Collect(maps.Keys(bound))
	for _, part := range candidates {
		places = append(places, part.Place)
	}
	below, err := pkgdb.FilesBelow(root, places, nil)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(candidates, func(part be.Part) bool {
		return !slices.ContainsFunc(below, func(f pkgdb.OwnedFile) bool {
			file := f.Path
			for place, source := range bound {
				if within(place, file) {
					file = source + strings.TrimPrefix(file, place)
					break
				}
			}
			if !within(part.Place, file) {
				return false
			}
			info, err := os.Lstat(st.Path(part.Subvolume + strings.TrimPrefix(file, part.Place)))
			return err == nil && !info.IsDir()
		})
	}), nil
}
