package hostile

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func savePlan(p planted) error {
	data, err := json.MarshalIndent(p, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(Plan, append(data, '\n'), 0o644)
}

// Archives is the directory of downloads. Planted is a file in it that a test has
// created.
const (
	Archives = "/var/cache/apt/archives"
	Planted  = Archives + "/bt-planted_1.0_all.deb"
)

// archives returns the attempts at the directory of downloads.
func archives() []Attempt {
	return []Attempt{
		{Name: "archive-changed", Wall: "archives", What: "changes a downloaded package, with its size and time as they were", run: func() Verdict {
			changed := 0
			packages, _ := filepath.Glob(Archives + "/*.deb")
			for _, name := range packages {
				info, err := os.Stat(name)
				if err != nil {
					continue
				}
				f, err := os.OpenFile(name, os.O_RDWR, 0)
				if err != nil {
					continue
				}
				if _, err := f.WriteAt([]byte("hostile!"), info.Size()/2); err == nil {
					changed++
				}
				f.Close()
				_ = os.Chtimes(name, info.ModTime(), info.ModTime())
			}
			return did("changed %d of %d", changed, len(packages))
		}},
		{Name: "archive-setuid", Wall: "archives", What: "a setuid program, and setuid for the packages there", run: func() Verdict {
			packages, _ := filepath.Glob(Archives + "/*")
			for _, name := range packages {
				if info, err := os.Lstat(name); err == nil && info.Mode().IsRegular() {
					_ = unix.Chmod(name, 0o4755)
				}
			}
			self, _ := os.ReadFile(Program)
			err := os.WriteFile(Archives+"/hostile-setuid", self, 0o755)
			return did("%v, %v", err, unix.Chmod(Archives+"/hostile-setuid", 0o4755))
		}},
		{Name: "archive-new", Wall: "archives", What: "packages of its own, under names that an archive could have", run: func() Verdict {
			var errs []error
			for _, name := range []string{"apt_99.0_amd64.deb", "libc6_99%3a1_amd64.deb", "partial/apt_99.0_amd64.deb", "hostile\n_1_all.deb", "..._1_all.deb", "-oDpkg_1_all.deb", "\x1b[2J_1_all.deb"} {
				errs = append(errs, os.WriteFile(filepath.Join(Archives, name), []byte("!<arch>\nhostile\n"), 0o644))
			}
			return did("%v", errs)
		}},
		{Name: "archive-kinds", Wall: "archives", What: "links, FIFOs, sockets, directories, huge sparse files and hard links under names of packages", run: func() Verdict {
			_ = os.Symlink("/etc/shadow", Archives+"/link_1_all.deb")
			_ = os.Symlink("../../../../etc/shadow", Archives+"/relative_1_all.deb")
			_ = os.Symlink("/proc/self/fd/3", Archives+"/magic_1_all.deb")
			_ = unix.Mkfifo(Archives+"/fifo_1_all.deb", 0o666)
			_ = os.MkdirAll(Archives+"/directory_1_all.deb/below", 0o777)
			_ = os.WriteFile(Archives+"/huge_1_all.deb", nil, 0o644)
			_ = os.Link(Archives+"/huge_1_all.deb", Archives+"/hard_1_all.deb")
			return did("%v", os.Truncate(Archives+"/huge_1_all.deb", 1<<40))
		}},
		{Name: "archive-lock", Wall: "archives", What: "takes the lock of the directory, removes it and links another", run: func() Verdict {
			_ = os.Remove(Archives + "/lock")
			return did("%v", os.Symlink("/etc/passwd", Archives+"/lock"))
		}},
		{Name: "archive-mode", Wall: "archives", What: "mode, owner and time of the directory itself", run: func() Verdict {
			return did("%v, %v, %v", unix.Chmod(Archives, 0o777), unix.Chown(Archives, MarkGID, MarkGID), os.Chtimes(Archives, MarkTime, MarkTime))
		}},
		{Name: "archive-partial", Wall: "archives", What: "a link from partial to /etc, which apt-get clean would give to _apt", run: func() Verdict {
			_ = os.RemoveAll(Archives + "/partial")
			return did("%v", os.Symlink("/etc", Archives+"/partial"))
		}},
		{Name: "archive-up", Wall: "archives", What: "goes up from the directory", run: func() Verdict {
			fd, err := unix.Open(Archives, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			var above, own unix.Stat_t
			err = unix.Fstatat(fd, "..", &above, 0)
			if err != nil || unix.Stat("/var/cache/apt", &own) != nil {
				return held("%v", err)
			}
			if above.Dev != own.Dev || above.Ino != own.Ino {
				return broken("above is another directory")
			}
			return held("above is the sandbox's own")
		}},
	}
}

// Injected is typed into a terminal: a shell that runs it creates the file.
const Injected = "\n touch /root/hostile-injected\n"

// terminal returns the attempts at the terminal of a run, and at other terminals.
func terminal() []Attempt {
	onEach := func(do func(fd int) error) func() Verdict {
		return func() Verdict {
			var done []string
			var last error
			names := []string{"/dev/tty", "/dev/console", "/dev/tty1", "/dev/tty0", "/dev/ptmx"}
			more, _ := filepath.Glob("/dev/pts/[0-9]*")
			for _, name := range slices.Concat(names, more, []string{"/proc/self/fd/0", "/proc/self/fd/1", "/proc/self/fd/2"}) {
				fd, err := unix.Open(name, unix.O_RDWR|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
				if err != nil {
					last = err
					continue
				}
				if err := do(fd); err != nil {
					last = err
				} else {
					done = append(done, name)
				}
				unix.Close(fd)
			}
			if len(done) == 0 {
				return held("%v", last)
			}
			return did("%v", done)
		}
	}
	value := func(fd int, request uint, argument int) error {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(argument))
		return errnoOf(errno)
	}
	return []Attempt{
		{Name: "terminals-written", Wall: "terminal", Terminal: true, What: "writes to each terminal", run: onEach(func(fd int) error {
			_, err := unix.Write(fd, []byte("hostile was here\r\n"))
			return err
		})},
		{Name: "terminals-read", Wall: "terminal", Terminal: true, What: "reads what is typed at each terminal", run: onEach(func(fd int) error {
			_, err := unix.Read(fd, make([]byte, 16))
			return err
		})},
		{Name: "terminals-mode", Wall: "terminal", Terminal: true, What: "changes the modes of each terminal that is not its own", run: func() Verdict {
			own, _ := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			var st unix.Stat_t
			_ = unix.Fstat(own, &st)
			return onEach(func(fd int) error {
				var other unix.Stat_t
				if unix.Fstat(fd, &other) == nil && other.Ino == st.Ino && other.Dev == st.Dev {
					return unix.EBUSY
				}
				modes, err := unix.IoctlGetTermios(fd, unix.TCGETS)
				if err != nil {
					return err
				}
				modes.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
				return unix.IoctlSetTermios(fd, unix.TCSETS, modes)
			})()
		}},
		{Name: "terminals-size", Wall: "terminal", Terminal: true, What: "changes the size of each terminal", run: onEach(func(fd int) error {
			return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 17, Col: 71})
		})},
		{Name: "terminals-lock", Wall: "terminal", Terminal: true, What: "locks the terminals, sets packet mode, exclusive use and another line discipline", run: onEach(func(fd int) error {
			for _, c := range []struct {
				request uint
				value   int
			}{{unix.TIOCCONS, 0}, {unix.TIOCSETD, 0}} {
				argument := int32(99)
				if c.request == unix.TIOCSETD && value(fd, c.request, int(uintptr(unsafe.Pointer(&argument)))) == nil {
					return nil
				}
			}
			return unix.EPERM
		})},
		{Name: "console-redirect", Wall: "terminal", Terminal: true, What: "TIOCCONS: has the console's output", run: func() Verdict {
			v := onEach(func(fd int) error { return value(fd, unix.TIOCCONS, 0) })()
			if v.Outcome == Did {
				return broken("%s", v.Detail)
			}
			return v
		}},
		{Name: "console-selection", Wall: "terminal", Terminal: true, What: "TIOCLINUX: pastes into a console", run: func() Verdict {
			v := onEach(func(fd int) error {
				code := byte(3)
				return value(fd, unix.TIOCLINUX, int(uintptr(unsafe.Pointer(&code))))
			})()
			if v.Outcome == Did {
				return broken("%s", v.Detail)
			}
			return v
		}},
		{Name: "terminal-stolen", Wall: "terminal", Terminal: true, What: "TIOCSCTTY: takes each terminal from its session", run: func() Verdict {
			if _, err := unix.Setsid(); err != nil {
				_ = err // this process leads a group; a child would not
			}
			return onEach(func(fd int) error { return value(fd, unix.TIOCSCTTY, 1) })()
		}},
		{Name: "terminal-foreground", Wall: "terminal", Terminal: true, What: "takes the foreground from the group that has it, and gives it back", run: func() Verdict {
			fd, err := unix.Open("/dev/tty", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
			if err != nil {
				return held("%v", err)
			}
			defer unix.Close(fd)
			was, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
			if err != nil {
				return held("%v", err)
			}
			if was == 0 {
				return broken("the group in the foreground is one from outside")
			}
			return did("it is %d", was)
		}},
		{Name: "terminal-typed", Wall: "terminal", Terminal: true, Alone: true, What: "TIOCSTI: types a command", run: onEach(func(fd int) error {
			for _, char := range []byte(Injected) {
				if err := value(fd, unix.TIOCSTI, int(uintptr(unsafe.Pointer(&char)))); err != nil {
					return err
				}
			}
			return nil
		})},
		{Name: "terminal-typed-later", Wall: "terminal", Terminal: true, Alone: true, What: "leaves a process behind that types a command, over and over", run: func() Verdict {
			return leave("injecting")
		}},
		{Name: "terminal-hangup", Wall: "terminal", Terminal: true, Alone: true, What: "vhangup and TIOCVHANGUP", run: func() Verdict {
			_, _, errno := unix.Syscall(unix.SYS_VHANGUP, 0, 0, 0)
			return did("%v, %s", errnoOf(errno), onEach(func(fd int) error { return value(fd, 0x5437, 0) })())
		}},
	}
}

// Victims is a directory of the running root whose files must stay as they are.
const Victims = "/srv/hostile-victims"

// places are the paths that a supervisor reads or writes after a run.
var places = []string{
	"/var/log/apt/history.log", "/var/log/apt/term.log", "/var/log/apt", "/var/log/unattended-upgrades/unattended-upgrades.log",
	"/var/log/unattended-upgrades/unattended-upgrades-dpkg.log", "/var/log/unattended-upgrades", "/var/log/dpkg.log",
	"/var/lib/apt/periodic/unattended-upgrades-stamp", "/var/lib/apt/periodic", "/var/lib/unattended-upgrades/kept-back", "/var/lib/unattended-upgrades",
	"/var/lib/apt/extended_states", "/run/reboot-required", "/run/reboot-required.pkgs", "/var/run/reboot-required",
	"/etc/fstab", "/etc/kernel/cmdline", "/etc/kernel", "/etc/default/grub", "/etc/apt/apt.conf.d", "/etc/os-release", "/etc/machine-id", "/etc/hostname",
	"/etc/resolv.conf", "/etc/passwd.hostile", "/boot", "/usr/sbin/policy-rc.d", "/var/mail/root", "/var/spool/mail", "/var/cache/apt/pkgcache.bin",
	"/var/cache/apt/archives", "/var/lib/apt-be", "/var/log/apt-be", "/var/cache/apt-be", "/lib/modules", "/run/apt-be",
}

// results returns the attempts at the files that are read and written after a run.
func results() []Attempt {
	links := func(target func(place, victim string) string) func() Verdict {
		return func() Verdict {
			made := 0
			var last error
			for _, place := range places {
				victim := Victims + "/file"
				if info, err := os.Stat(place); err == nil && info.IsDir() {
					victim = Victims + "/directory"
				}
				if err := replaced(place); err != nil {
					last = err
					continue
				}
				_ = os.MkdirAll(filepath.Dir(place), 0o755)
				if err := os.Symlink(target(place, victim), place); err != nil {
					last = err
					continue
				}
				made++
			}
			return did("%d links of %d: %v", made, len(places), last)
		}
	}
	return []Attempt{
		{Name: "links-absolute", Wall: "results", Alone: true, What: "absolute links at every place that is read or written after a run", run: links(func(_, victim string) string { return victim })},
		{Name: "links-relative", Wall: "results", Alone: true, What: "links of many .. there", run: links(func(_, victim string) string { return strings.Repeat("../", 40) + victim[1:] })},
		{Name: "links-magic", Wall: "results", Alone: true, What: "links through /proc/self and /proc/1 there", run: links(func(place, victim string) string {
			roots := []string{"/proc/self/root", "/proc/1/root", "/proc/thread-self/root", "/proc/self/cwd/../../../../../..", "/dev/fd/3"}
			return roots[len(place)%len(roots)] + victim
		})},
		{Name: "fifos", Wall: "results", Alone: true, What: "FIFOs there", run: func() Verdict {
			made := 0
			for _, place := range places {
				if replaced(place) == nil && unix.Mkfifo(place, 0o666) == nil {
					made++
				}
			}
			return did("%d of %d", made, len(places))
		}},
		{Name: "huge", Wall: "results", Alone: true, What: "files of 8 TiB there, and a million names in a directory", run: func() Verdict {
			made := 0
			for _, place := range places {
				if info, err := os.Stat(place); err == nil && info.IsDir() {
					continue
				}
				if replaced(place) == nil && os.WriteFile(place, nil, 0o644) == nil && os.Truncate(place, 8<<40) == nil {
					made++
				}
			}
			return did("%d of %d", made, len(places))
		}},
		{Name: "escapes", Wall: "results", Alone: true, What: "control sequences in logs, mail and names of packages that want a reboot", run: func() Verdict {
			const text = "\x1b]0;hostile\x07\x1b[2J\x1b[31mhostile\r\nSubject: hostile\r\n\r\n.\r\nBcc: hostile\n"
			made := 0
			for _, place := range []string{"/run/reboot-required", "/run/reboot-required.pkgs", "/var/log/unattended-upgrades/unattended-upgrades.log", "/var/log/unattended-upgrades/unattended-upgrades-dpkg.log", "/var/lib/unattended-upgrades/kept-back"} {
				f, err := os.OpenFile(place, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
				if err != nil {
					continue
				}
				if _, err := f.WriteString(text); err == nil {
					made++
				}
				f.Close()
			}
			return did("%d files", made)
		}},
		{Name: "mail-flood", Wall: "results", Alone: true, What: "ten thousand messages, links and FIFOs in the spool, by sendmail and by hand", run: func() Verdict {
			spools := []string{"/run/apt-be/mail", "/run/apt-be/spool"}
			_ = filepath.WalkDir("/run/apt-be", func(path string, entry fs.DirEntry, err error) error {
				if err == nil && entry.IsDir() {
					spools = append(spools, path)
				}
				return nil
			})
			made := 0
			for _, dir := range spools {
				_ = os.Symlink(Victims+"/file", filepath.Join(dir, "link"))
				_ = unix.Mkfifo(filepath.Join(dir, "fifo"), 0o666)
				for i := range 10000 {
					if os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), []byte("hostile\n"), 0o644) != nil {
						break
					}
					made++
				}
			}
			return did("%d in %v", made, spools)
		}},
		{Name: "output-flood", Wall: "results", Alone: true, What: "32 MiB of output without a line's end", run: func() Verdict {
			data := []byte(strings.Repeat("x", 1<<16))
			start := time.Now()
			for range 512 {
				if _, err := os.Stdout.Write(data); err != nil {
					return did("%v", err)
				}
			}
			fmt.Println()
			return did("in %v", time.Since(start).Round(time.Second))
		}},
	}
}

// replaced renames the file at a path, so that another one can take its place.
func replaced(place string) error {
	if _, err := os.Lstat(place); err != nil {
		return nil
	}
	aside := place + ".aside"
	_ = os.RemoveAll(aside)
	return os.Rename(place, aside)
}
