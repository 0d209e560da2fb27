package sandbox

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/moby/sys/mountinfo"
)

// patience is the time in which a mount must respond.
const patience = 5 * time.Second

// local are the file systems that depend only on the kernel and on disks.
var local = map[string]bool{
	"bcachefs": true, "btrfs": true, "exfat": true, "ext2": true, "ext3": true, "ext4": true, "f2fs": true, "jfs": true,
	"msdos": true, "nilfs2": true, "ntfs3": true, "reiserfs": true, "tmpfs": true, "vfat": true, "xfs": true, "zfs": true,
}

// unresponsiveAmong returns the mount points of mounts that do not respond.
func unresponsiveAmong(mounts []*mountinfo.Info) []string {
	var remote, asked []string
	for _, m := range mounts {
		if !local[m.FSType] && !readOnly[m.FSType] && !transient[m.FSType] {
			remote = append(remote, m.Mountpoint)
		}
	}
	// A path to a mount passes the mounts above it.
	below := func(dir string) bool {
		return slices.ContainsFunc(remote, func(r string) bool { return dir == r || strings.HasPrefix(dir, r+"/") })
	}
	for _, m := range mounts {
		if below(m.Mountpoint) && !slices.Contains(asked, m.Mountpoint) {
			asked = append(asked, m.Mountpoint)
		}
	}
	questions := make([]question, len(asked))
	for i, dir := range asked {
		questions[i] = ask(dir)
	}
	var silent []string
	end := time.After(patience)
	over := false
	for i, q := range questions {
		select {
		case <-q.answered:
			continue
		default:
		}
		if !over {
			select {
			case <-q.answered:
				continue
			case <-end:
				over = true
			}
		}
		silent = append(silent, asked[i])
		q.giveUp()
	}
	return silent
}

// question is a pending request to a file system.
type question struct {
	answered <-chan struct{} // closed by the response
	giveUp   func()
}

// ask calls statfs(2) at a mount point, which no file system answers from a cache. A
// separate process does this: a process that waits for the response may be unkillable,
// and this one must end.
func ask(dir string) question {
	answered := make(chan struct{})
	cmd := exec.Command("stat", "-f", "--", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this process
	if err := cmd.Start(); err != nil {
		close(answered) // the process cannot start
		return question{answered, func() {}}
	}
	go func() {
		_ = cmd.Wait()
		close(answered)
	}()
	return question{answered, func() { _ = cmd.Process.Kill() }}
}
