// Package procs finds the processes of this machine that use files, through
// /proc (proc(5)).
package procs

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Use is the way in which a process uses a file.
type Use string

// The uses that Find looks for.
const (
	Reads  Use = "open"             // or mapped
	Writes Use = "open for writing" // or mapped as writable
	Stands Use = "working directory"
	Lists  Use = "open directory" // files can be created in it
	Serves Use = "socket"         // a socket with a path: a copy of it connects to no process
)

// File is a file that a process uses.
type File struct {
	Path   string // as the process sees it
	Device uint64 // st_dev
	Inode  uint64
	Use    Use
}

// Process is a process that uses a file.
type Process struct {
	PID     int
	Command string // its name (comm)
	Unit    string // the systemd unit of the process; "" if none
	File    File   // the first file that was found
}

// String names a process by the unit or process that an administrator can stop:
// "dovecot.service (imap, 4711)".
func (p Process) String() string {
	if p.Unit == "" {
		return fmt.Sprintf("%s (process %d)", p.Command, p.PID)
	}
	return fmt.Sprintf("%s (%s, %d)", p.Unit, p.Command, p.PID)
}

// Find returns the other processes that use a file for which match is true. It skips
// processes that end meanwhile.
func Find(match func(File) bool) ([]Process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("cannot list the processes: %w", err)
	}
	sockets := readSockets("/proc/net/unix")
	var found []Process
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if file, ok := uses("/proc/"+entry.Name(), sockets, match); ok {
			found = append(found, describe(pid, file))
		}
	}
	return found, nil
}

func describe(pid int, file File) Process {
	dir := fmt.Sprintf("/proc/%d", pid)
	command, _ := os.ReadFile(dir + "/comm")
	groups, _ := os.ReadFile(dir + "/cgroup")
	return Process{PID: pid, Command: strings.TrimSpace(string(command)), Unit: unitOf(string(groups)), File: file}
}

// unitOf finds the unit in /proc/PID/cgroup (cgroups(7)): the outermost one that is not
// a slice, because a user's manager and a container have units of their own.
func unitOf(groups string) string {
	for line := range strings.Lines(groups) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) < 3 || fields[1] != "" && fields[1] != "name=systemd" {
			continue
		}
		for part := range strings.SplitSeq(fields[2], "/") {
			if ext := path.Ext(part); ext == ".service" || ext == ".scope" {
				return part
			}
		}
	}
	return ""
}

// uses searches the open files of a process.
func uses(dir string, sockets map[string]string, match func(File) bool) (File, bool) {
	look := func(link string, use Use) (File, bool) {
		file, ok := fileAt(link, use)
		return file, ok && match(file)
	}
	if file, ok := look(dir+"/cwd", Stands); ok {
		return file, true
	}
	descriptors, _ := os.ReadDir(dir + "/fd")
	for _, d := range descriptors {
		target, _ := os.Readlink(dir + "/fd/" + d.Name())
		if place, ok := sockets[target]; ok {
			if file, ok := fileIn(place, place, Serves); ok && match(file) {
				return file, true
			}
			continue
		}
		if file, ok := look(dir+"/fd/"+d.Name(), openFor(dir+"/fdinfo/"+d.Name())); ok {
			return file, true
		}
	}
	for addresses, use := range mappings(dir + "/maps") {
		if file, ok := look(dir+"/map_files/"+addresses, use); ok {
			return file, true
		}
	}
	return File{}, false
}

// fileAt describes the target of a link in /proc. It sends no request to a server, so
// an unresponsive network file system cannot block it.
func fileAt(link string, use Use) (File, bool) {
	target, err := os.Readlink(link)
	if err != nil || !filepath.IsAbs(target) {
		return File{}, false // gone, or not a file, such as a pipe or a socket
	}
	return fileIn(link, target, use)
}

// fileIn describes the file at a place, with the name that its user sees.
func fileIn(place, name string, use Use) (File, bool) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, place, unix.AT_STATX_DONT_SYNC, unix.STATX_TYPE|unix.STATX_INO, &st); err != nil {
		return File{}, false
	}
	if use == Reads && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		use = Lists
	}
	return File{Path: name, Device: unix.Mkdev(st.Dev_major, st.Dev_minor), Inode: st.Ino, Use: use}, true
}

// openFor returns the use of an open file, from /proc/PID/fdinfo.
func openFor(info string) Use {
	data, err := os.ReadFile(info)
	if err != nil {
		return Reads
	}
	for line := range strings.Lines(string(data)) {
		value, ok := strings.CutPrefix(line, "flags:")
		if !ok {
			continue
		}
		flags, err := strconv.ParseUint(strings.TrimSpace(value), 8, 64)
		if err == nil && flags&unix.O_PATH == 0 && flags&unix.O_ACCMODE != unix.O_RDONLY {
			return Writes
		}
	}
	return Reads
}

// mappings returns the uses of mapped files, by the addresses in /proc/PID/maps.
func mappings(maps string) map[string]Use {
	f, err := os.Open(maps)
	if err != nil {
		return nil
	}
	defer f.Close()
	found := map[string]Use{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || !strings.HasPrefix(fields[5], "/") {
			continue
		}
		found[fields[0]] = Reads
		if fields[1][1] == 'w' && strings.HasSuffix(fields[1], "s") {
			found[fields[0]] = Writes
		}
	}
	return found
}

// readSockets returns the paths of the sockets that have one, by the link text of their
// descriptors.
func readSockets(table string) map[string]string {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	found := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), "/", 2)
		words := strings.Fields(fields[0])
		if len(fields) == 2 && len(words) == 7 {
			found["socket:["+words[6]+"]"] = "/" + fields[1]
		}
	}
	return found
}
