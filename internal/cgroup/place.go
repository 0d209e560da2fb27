package cgroup

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// place is the place of a group.
type place struct {
	own    string // the directory of this process's own group
	parent string // the directory in which the new group is created
}

// placeOf finds the place in proc_pid_cgroup(5) and proc_pid_mountinfo(5).
func placeOf(groups, mounts string) (place, error) {
	own, err := ownGroup(groups)
	if err != nil {
		return place{}, err
	}
	found, err := mountinfo.GetMountsFromReader(strings.NewReader(mounts), mountinfo.FSTypeFilter("cgroup2"))
	if err != nil {
		return place{}, fmt.Errorf("%w: cannot read the mounts: %w", ErrUnavailable, err)
	}
	for _, m := range found {
		if readOnly(m) {
			continue
		}
		// A container may see a part of the tree. With a cgroup namespace of its own,
		// its root is above every path that it can name.
		below, ok := strings.CutPrefix(own, strings.TrimSuffix(m.Root, "/"))
		if !ok || below != "" && below[0] != '/' {
			continue
		}
		dir := path.Join(m.Mountpoint, below)
		if path.Clean("/"+below) == "/" {
			// Without an init system that creates groups, all processes are in the root
			// group.
			return place{own: dir, parent: dir}, nil
		}
		return place{own: dir, parent: path.Dir(dir)}, nil
	}
	if len(found) == 0 {
		return place{}, fmt.Errorf("%w: none are mounted", ErrUnavailable)
	}
	return place{}, fmt.Errorf("%w: %s is read-only, or does not have %s, which this process is in", ErrUnavailable, found[0].Mountpoint, own)
}

// ownGroup returns the path of a process's group of version 2.
func ownGroup(groups string) (string, error) {
	for line := range strings.Lines(groups) {
		own, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::")
		if !ok {
			continue
		}
		if own != path.Clean(own) || own == "/.." || strings.HasPrefix(own, "/../") {
			return "", fmt.Errorf("%w: this process is in %s, outside of its name space", ErrUnavailable, own)
		}
		return own, nil
	}
	return "", fmt.Errorf("%w: this process is in none", ErrUnavailable)
}

func readOnly(m *mountinfo.Info) bool {
	return slices.Contains(strings.Split(m.Options, ","), "ro") || slices.Contains(strings.Split(m.VFSOptions, ","), "ro")
}
