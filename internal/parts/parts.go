// Package parts tells which of the file systems that a root mounts belong to it. A
// subvolume of its own in which packages have files is a part of the root: an
// upgrade that left it alone would leave files and package database of two
// versions. What is on another file system can't be a part of it.
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

// database is dpkg's: what holds it is a part of the root whatever else is in it.
const database = "/var/lib/dpkg"

// never are the directories of which nothing is a part: apt-be init has rules of its
// own for those of the boot loader, and what is in /home is the users', whatever a
// package puts there.
var never = []string{"/boot", "/efi", "/home"}

// Of returns the parts of an environment: subvolumes that its fstab mounts from the
// file system that it is on, and in which packages have files. Of the running one
// those count that are mounted.
func Of(reg *be.Registry, e be.Env) ([]be.Part, error) {
	found, err := of(reg, e)
	if err != nil {
		return nil, fmt.Errorf("cannot find which mounts belong to %s: %w", e.Name, err)
	}
	return found, nil
}

// Since returns the parts of the origin of an environment by now, of which some were
// known when that was made. As the machine goes down they may be unmounted already,
// which does not mean that they are gone: those count that the fstab still names.
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
			continue // it is a directory of the root again
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
				_, _ = os.ReadDir(entry.Dir) // which mounts it, as any access of dpkg's would
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
		// An environment's own are nested in it.
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

// place returns where a directory of a root really is, which the fstab may name
// through a link: there it is mounted. If that can't be told it is as it is named.
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

// apart says whether a subvolume is apt-be's own, or shared by all environments.
func apart(subvolume string) bool {
	return slices.ContainsFunc([]string{be.ShareDir, be.ShareSnapshotDir, be.HomeDir, be.BaseDir, be.GRUBDir}, func(dir string) bool {
		return within(dir, subvolume)
	})
}

// within says whether a path is a directory or below it.
func within(dir, name string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// byMount returns a function that says which subvolume of the store is mounted at
// the place of an entry in the running system, "" for none. An environment's own is
// seen there in any case.
func byMount(st store.Store, named func(fstab.Entry) (string, error), running be.Env) (func(fstab.Entry) (string, error), error) {
	points, err := mounts.Points()
	if err != nil {
		return nil, err
	}
	return func(e fstab.Entry) (string, error) {
		dir := place("/", e.Dir)
		subvolume := points[dir]
		if store.CheckNewPath(subvolume) != nil { // nothing is mounted there, or no btrfs
			if subvolume, err := named(e); err != nil || subvolume == running.Subvolume.Path+dir {
				return subvolume, err
			}
			return "", nil
		}
		sub, err := st.Locate(dir)
		if errors.Is(err, store.ErrUnsupported) || err == nil && sub.Path != subvolume {
			return "", nil // of another file system, or a directory of a subvolume
		}
		return sub.Path, err
	}, nil
}

// byFstab does so for a system that does not run. What can't be told from its fstab
// alone, such as a label, does not count.
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

// withPackages returns those in which packages of a root have files, directories
// not counted: base-files has /home and /srv. What is bound to other places has its
// files there.
func withPackages(st store.Store, root string, candidates []be.Part, bound map[string]string) ([]be.Part, error) {
	if _, err := os.Lstat(filepath.Join(root, database, "info")); errors.Is(err, fs.ErrNotExist) {
		if root == "/" {
			return nil, nil // it is unmounted by now: Since knows which they were
		}
		// The package database is a part itself, of a system that does not run.
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
