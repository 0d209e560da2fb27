package procs

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// Bind is a mount of a directory of a btrfs.
type Bind struct {
	Dir string // the mount point
	PID int    // of a process that sees the mount
}

// Binds returns the mounts, in the mount namespaces of all processes, of directories at
// or below a path from the top level of a btrfs.
func Binds(dir string) ([]Bind, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list the processes: %w", err)
	}
	root := path.Join("/", dir)
	filter := func(m *mountinfo.Info) (skip, stop bool) {
		return m.FSType != "btrfs" || m.Root != root && !strings.HasPrefix(m.Root, root+"/"), false
	}
	seen := map[string]bool{}
	var found []Bind
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		space, err := os.Readlink("/proc/" + entry.Name() + "/ns/mnt")
		if err != nil || seen[space] {
			continue // ended, or a kernel thread
		}
		table, err := os.Open("/proc/" + entry.Name() + "/mountinfo")
		if err != nil {
			continue
		}
		seen[space] = true
		mounts, err := mountinfo.GetMountsFromReader(table, filter)
		table.Close()
		if err != nil {
			continue // ended meanwhile
		}
		for _, m := range mounts {
			found = append(found, Bind{m.Mountpoint, pid})
		}
	}
	return found, nil
}
