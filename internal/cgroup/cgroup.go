// Package cgroup creates a control group for the processes of one sandbox (cgroups(7),
// version 2 only). The group has its own limits, and all its processes can be killed at
// once.
//
// The group is a sibling of the group of this process. It cannot be a child: a group
// with processes cannot give limits to its children, and systemd would count the sandbox
// as part of the unit. As a sibling, the group is in a slice. The limits of the slice
// still apply, and systemd leaves groups in it alone that systemd did not create. The
// limits of the unit do not apply to a sibling, so this package copies them.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnavailable reports that this process cannot create a control group, as in a
// container, or with version 1 of control groups only.
var ErrUnavailable = errors.New("there are no control groups of version 2 that can be written to")

// prefix begins the names of all groups. It has no suffix of a systemd unit, so systemd
// does not take the group for a unit.
const prefix = "apt-be-sandbox-"

// Group is a control group. All operations use descriptors that were opened at its
// creation: its holder may change its root, its mounts, and its cgroup namespace, in
// which the mount option nsdelegate would refuse access.
type Group struct {
	name   string   // of its directory
	parent *os.File // the directory above
	dir    *os.File // locked while a process holds the group
	procs  *os.File // cgroup.procs
	events *os.File // cgroup.events
	kill   *os.File // cgroup.kill; nil before Linux 5.14
	notes  []string
}

// Make creates a control group with limits for a sandbox, beside this process's own.
// Call it before this process enters its own cgroup namespace. If groups are not
// possible, the error is [ErrUnavailable]. Limits that could not be set are in
// [Group.Notes]. Make also removes the groups of ended sandboxes.
func Make(name string, l Limits) (*Group, error) {
	if name == "" || strings.ContainsAny(name, "/\n") {
		return nil, fmt.Errorf("cannot make a control group: its name %q is none", name)
	}
	at, err := find()
	if err != nil {
		return nil, err
	}
	removeStale(at.parent)
	g := &Group{name: prefix + name}
	if err := g.open(at.parent); err != nil {
		g.close()
		return nil, fmt.Errorf("cannot make the control group %s: %w", filepath.Join(at.parent, g.name), err)
	}
	missing := enable(at.parent)
	dir := filepath.Join(at.parent, g.name)
	g.notes = append(missing, apply(dir, limitsFor(at.own, dir, l))...)
	return g, nil
}

// find finds the place of a group, and checks that it is a control group.
func find() (place, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return place{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	at, err := placeOf(string(own), string(mounts))
	if err != nil {
		return place{}, err
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(at.parent, &fs); err != nil {
		return place{}, fmt.Errorf("%w: cannot examine %s: %w", ErrUnavailable, at.parent, err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return place{}, fmt.Errorf("%w: something else is mounted over %s", ErrUnavailable, at.parent)
	}
	return at, nil
}

// attempts is the number of attempts to create a group, again or under another name:
// removeStale may have removed it before it was locked, or systemd, which stops a
// slice.
const attempts = 10

// open creates the directory of a group and opens its files.
func (g *Group) open(parent string) error {
	var err error
	if g.parent, err = os.OpenFile(parent, unix.O_PATH|unix.O_DIRECTORY, 0); err != nil {
		return err
	}
	first := g.name
	for attempt := range attempts {
		err = unix.Mkdirat(int(g.parent.Fd()), g.name, 0o755)
		switch {
		case errors.Is(err, unix.EEXIST):
			// The name may belong to a group whose processes the kernel could not end.
			g.name = fmt.Sprintf("%s.%d", first, attempt)
			continue
		case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		case errors.Is(err, unix.EAGAIN): // cgroup.max.depth or cgroup.max.descendants
			return fmt.Errorf("%w: there may be no more", ErrUnavailable)
		case err != nil:
			return err
		}
		err = g.hold()
		if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENODEV) {
			break
		}
	}
	if err != nil && !errors.Is(err, unix.EEXIST) {
		_ = unix.Unlinkat(int(g.parent.Fd()), g.name, unix.AT_REMOVEDIR)
	}
	return err
}

// hold locks a new group, and opens its files.
func (g *Group) hold() error {
	closeAll(g.dir, g.procs, g.events, g.kill)
	var err error
	if g.dir, err = openAt(g.parent, g.name, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		return err
	}
	// Only removeStale may hold the lock, for a moment.
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(g.dir.Fd()), unix.LOCK_EX)
	}
	if err != nil {
		return err
	}
	// In a threaded group, a new group cannot contain processes.
	kind, err := readAt(g.dir, "cgroup.type")
	if err != nil {
		return err
	}
	if kind != "domain" {
		return fmt.Errorf("%w: it would be %q", ErrUnavailable, kind)
	}
	if g.procs, err = openAt(g.dir, "cgroup.procs", unix.O_WRONLY); err != nil {
		return err
	}
	if g.events, err = openAt(g.dir, "cgroup.events", unix.O_RDONLY); err != nil {
		return err
	}
	if g.kill, err = openAt(g.dir, "cgroup.kill", unix.O_WRONLY); errors.Is(err, unix.ENOENT) {
		// Either the kernel is old or the group was removed; the next open shows which.
		g.kill = nil
		_, err = readAt(g.dir, "cgroup.type")
	}
	return err
}

// Notes returns sentences about limits that the group does not have, with the reasons.
func (g *Group) Notes() []string { return g.notes }

// Dir returns the group's directory, for a child that starts in it
// (syscall.SysProcAttr.CgroupFD, since Linux 5.7). The parent must be in the cgroup
// namespace in which it created the group.
func (g *Group) Dir() *os.File { return g.dir }

// Procs returns the file through which a process enters the group: see [Enter]. A
// process that cannot reach control groups itself may get it, but must close it before
// execve(2).
func (g *Group) Procs() *os.File { return g.procs }

// Enter moves this process to the group of procs ([Group.Procs]). Its children do not
// move. A cgroup namespace that it creates afterwards shows only this group.
func Enter(procs *os.File) error {
	if _, err := unix.Write(int(procs.Fd()), []byte("0")); err != nil {
		return fmt.Errorf("cannot enter the control group of the sandbox: %w", err)
	}
	return nil
}

// Remove removes the group, which must be empty, and closes its files.
func (g *Group) Remove() error {
	err := unix.Unlinkat(int(g.parent.Fd()), g.name, unix.AT_REMOVEDIR)
	g.close()
	// systemd removes empty groups in a slice that it stops.
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("cannot remove the control group %s: %w", g.name, err)
	}
	return nil
}

func (g *Group) close() { closeAll(g.parent, g.dir, g.procs, g.events, g.kill) }

// closeAll closes files, and skips nil.
func closeAll(files ...*os.File) {
	for _, file := range files {
		if file != nil {
			_ = file.Close()
		}
	}
}

// removeStale removes groups that no process holds. The kernel removes only empty
// groups.
func removeStale(parent string) {
	found, err := filepath.Glob(filepath.Join(escape(parent), prefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range found {
		file, err := os.OpenFile(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
		if err != nil {
			continue
		}
		// The creator of a group locks it before the first process enters.
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			_ = unix.Rmdir(dir)
		}
		file.Close()
	}
}

// escape escapes a path for filepath.Glob: systemd's names contain backslashes.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func openAt(dir *os.File, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(int(dir.Fd()), name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open %s: %w", name, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// readAt reads a file of a group.
func readAt(dir *os.File, name string) (string, error) {
	file, err := openAt(dir, name, unix.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return readAgain(file)
}
