package sandbox

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/openat2"
)

// assembler assembles a root in the sandbox's mount namespace. Its methods take paths
// inside, such as "/dev".
type assembler struct {
	root  string // the mount point of the root, outside
	place decoy  // contains the root
	notes []string
}

// assemble mounts the root of a sandbox in a decoy, with everything in it except /proc,
// in this process's mount namespace. It returns notes about mounts that differ from the
// request.
func assemble(spec *Spec, place decoy) (notes []string, err error) {
	a := &assembler{root: place.dir(insideName), place: place}
	// The root's own /dev may contain device nodes, as may old roots in it, and a
	// snapshot shows them.
	var flags uintptr = unix.MS_NOATIME | unix.MS_NODEV
	if spec.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount(spec.Device, a.root, "btrfs", flags, "subvol=/"+spec.Subvolume); err != nil {
		return nil, fmt.Errorf("cannot mount %s of %s: %w", spec.Subvolume, spec.Device, err)
	}
	if len(spec.ForeignMounts) > 0 {
		// The layers of an overlay must be mounted in the same namespace. The overlay
		// keeps them after this mount is gone.
		top := place.dir(topDir)
		if err := unix.Mount(spec.Device, top, "btrfs", unix.MS_NOATIME|quiet, "subvolid=5"); err != nil {
			return nil, fmt.Errorf("cannot mount the top level of %s: %w", spec.Device, err)
		}
		defer func() { err = errors.Join(err, unix.Unmount(top, unix.MNT_DETACH)) }()
	}
	if err := a.directories(); err != nil {
		return nil, err
	}
	for _, step := range []func(*Spec) error{a.mountable, a.foreignMounts, a.sys, a.dev, a.run, a.spool, a.memory, a.tmp, a.shown, a.texts, a.discs, a.policy} {
		if err := step(spec); err != nil {
			return nil, err
		}
	}
	return a.notes, nil
}

// directories checks that the sandbox's own directories are mounted at their paths.
// Another sandbox of the same root can move the target of a link meanwhile.
func (a *assembler) directories() error {
	root, err := unix.Open(a.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: a.root, Err: err}
	}
	defer unix.Close(root)
	for _, name := range []string{"proc", "sys", "dev", "run"} {
		var st unix.Stat_t
		err := unix.Fstatat(root, name, &st, unix.AT_SYMLINK_NOFOLLOW)
		if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
			err = unix.ENOTDIR
		}
		if err != nil {
			return &fs.PathError{Op: "use", Path: "/" + name, Err: err}
		}
	}
	return nil
}

func (a *assembler) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// at returns the place outside of a path inside. It follows links as a process inside
// does: none leads out of the root.
func (a *assembler) at(path string) (*os.File, string, error) {
	rootFD, err := unix.Open(a.root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, "", err
	}
	defer unix.Close(rootFD)
	fd, err := openat2.Open(rootFD, path, unix.OpenHow{
		Flags:   unix.O_PATH,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, "", &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	return f, fmt.Sprintf("/proc/self/fd/%d", fd), nil
}

// mount mounts onto a path inside, which must exist.
func (a *assembler) mount(source, path, fstype string, flags uintptr, data string) error {
	f, target, err := a.at(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Mount(source, target, fstype, flags, data); err != nil {
		return &fs.PathError{Op: "mount", Path: path, Err: err}
	}
	return nil
}

// bind shows a file or directory of the running root inside, without the mounts below
// it. A read-only bind becomes read-only before it is moved inside: between two steps
// another sandbox of the same root could move the place.
func (a *assembler) bind(source, path string, readOnly bool) error {
	if !readOnly {
		return a.mount(source, path, "", unix.MS_BIND, "")
	}
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	stage := a.place.dir(stageFile)
	if info.IsDir() {
		stage = a.place.dir(stageDir)
	}
	if err := mountAt(source, stage, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	err = mountAt("", stage, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, "")
	if err == nil {
		err = a.mount(stage, path, "", unix.MS_MOVE, "")
	}
	if err != nil {
		_ = unix.Unmount(stage, unix.MNT_DETACH)
	}
	return err
}

// mkdir creates a directory inside, unless it exists.
func (a *assembler) mkdir(path string, mode uint32) error {
	return a.inParent(path, func(parent string) error {
		err := unix.Mkdir(parent, mode)
		if errors.Is(err, fs.ErrExist) {
			return nil
		}
		if err == nil {
			err = unix.Chmod(parent, mode) // mkdir(2) applied the umask
		}
		return err
	})
}

// write creates a file inside.
func (a *assembler) write(path string, data []byte, mode os.FileMode) error {
	return a.inParent(path, func(name string) error {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY|unix.O_NOFOLLOW, mode)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Chmod(mode), f.Close()) // open(2) applied the umask
	})
}

// inParent calls do with the name outside of a path inside. All parts of the path
// except the last are resolved.
func (a *assembler) inParent(path string, do func(name string) error) error {
	dir, name := filepath.Split(path)
	f, parent, err := a.at(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := do(filepath.Join(parent, name)); err != nil {
		return &fs.PathError{Op: "make", Path: path, Err: err}
	}
	return nil
}

const quiet = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// sys mounts a sysfs without the file systems that are mounted in the running system's,
// such as control groups and debugfs.
func (a *assembler) sys(*Spec) error {
	if err := a.mount("sysfs", "/sys", "sysfs", quiet|unix.MS_RDONLY, ""); err != nil {
		return err
	}
	// Scripts of signed boot loaders read the state of Secure Boot there.
	const efivars = "/sys/firmware/efi/efivars"
	var st unix.Statfs_t
	if unix.Statfs(efivars, &st) == nil && st.Type == unix.EFIVARFS_MAGIC {
		return a.bind(efivars, efivars, true)
	}
	return nil
}

func (a *assembler) tmp(*Spec) error {
	return a.mount("tmpfs", "/tmp", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=1777")
}

// texts creates the small files that only this sandbox has.
func (a *assembler) texts(spec *Spec) error {
	for name, text := range spec.Texts {
		if err := a.put(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// spool creates the directory in which every user may leave files.
func (a *assembler) spool(spec *Spec) error {
	if spec.Spool == "" {
		return nil
	}
	return a.mkdir(spec.Spool, 0o1733)
}

// memory mounts file systems in memory that only root can read.
func (a *assembler) memory(spec *Spec) error {
	for _, m := range spec.Memory {
		if err := a.mkdir(m.Target, 0o700); err != nil {
			return err
		}
		if err := a.mount("tmpfs", m.Target, "tmpfs", quiet, fmt.Sprintf("mode=700,size=%d", m.Size)); err != nil {
			return err
		}
	}
	return nil
}

// put creates a file inside, and the directories above it.
func (a *assembler) put(path string, data []byte, mode os.FileMode) error {
	if err := a.mkdirs(filepath.Dir(path)); err != nil {
		return err
	}
	return a.write(path, data, mode)
}

// mkdirs creates a directory inside, and the directories above it.
func (a *assembler) mkdirs(path string) error {
	dir := ""
	for _, part := range strings.Split(path, "/")[1:] {
		dir += "/" + part
		if err := a.mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// shown shows files and directories that the empty /run and /tmp would lack.
func (a *assembler) shown(spec *Spec) error {
	for _, place := range slices.Sorted(maps.Keys(spec.Shown)) {
		if err := a.show(spec.Shown[place], place); err != nil {
			a.note("cannot show %s: %v", place, err)
		}
	}
	return nil
}

// show shows a file or directory of the running root read-only, at a place that need
// not exist.
func (a *assembler) show(source, place string) error {
	info, err := os.Stat(source)
	if err != nil {
		return err
	}
	if f, _, err := a.at(place); err == nil {
		defer f.Close()
		if there, err := f.Stat(); err == nil && os.SameFile(info, there) {
			return nil // it is in a directory that is shown
		}
	}
	if info.IsDir() {
		err = a.mkdirs(place)
	} else {
		err = a.put(place, nil, 0o644)
	}
	if err != nil {
		return err
	}
	return a.bind(source, place, true)
}

// discs shows the discs with packages that are mounted in the running root.
func (a *assembler) discs(spec *Spec) error {
	for _, dir := range spec.Discs {
		if err := a.bind(dir, dir, true); err != nil {
			a.note("cannot show %s: %v", dir, err)
		}
	}
	return nil
}

// foreignMounts shows the other file systems of the running root, outer ones first.
func (a *assembler) foreignMounts(spec *Spec) error {
	shares := slices.SortedFunc(slices.Values(spec.ForeignMounts), func(x, y ForeignMount) int {
		return strings.Compare(x.Target, y.Target)
	})
	for _, share := range shares {
		err := a.foreignMount(share, a.place.dir(topDir))
		if err != nil && (share.Scratch != "" || share.Volatile) {
			// Packages can read a read-only file system, but not a missing one.
			a.note("cannot protect %s by an overlay, so it is read-only: %v", share.Target, err)
			err = a.bind(share.Target, share.Target, true)
		}
		if err != nil {
			a.note("cannot show %s: %v", share.Target, err)
		}
	}
	return nil
}

func (a *assembler) foreignMount(share ForeignMount, top string) error {
	if share.Own != "" {
		if f, source, err := a.at(share.Own); err == nil {
			defer f.Close()
			return a.bind(source, share.Target, false)
		}
	}
	scratch := filepath.Join(top, share.Scratch)
	switch {
	case share.Scratch == "" && !share.Volatile:
		return a.bind(share.Target, share.Target, true)
	case share.Copy:
		dir := filepath.Join(scratch, "copy")
		// Only the first run creates it: later runs see what earlier ones wrote to it.
		if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
			if err := copyTree(share.Target, dir+".new"); err != nil {
				return err
			}
			if err := os.Rename(dir+".new", dir); err != nil {
				return err
			}
		}
		return a.bind(dir, share.Target, false)
	}
	if share.Volatile {
		// It is mounted below the overlay, where no process sees it.
		if err := a.mount("tmpfs", share.Target, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return err
		}
		f, memory, err := a.at(share.Target)
		if err != nil {
			return err
		}
		defer f.Close()
		scratch = memory
	}
	upper, work := filepath.Join(scratch, "upper"), filepath.Join(scratch, "work")
	for _, dir := range []string{upper, work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	if err := sameDirectory(share.Target, upper); err != nil {
		return err
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", escape(share.Target), escape(upper), escape(work))
	return a.mount("overlay", share.Target, "overlay", unix.MS_NODEV|unix.MS_NOSUID, options)
}

// escape escapes the characters of a path that overlayfs takes for separators.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `,`, `\,`, `:`, `\:`).Replace(path)
}

// sameDirectory gives dir the owner and mode of the directory that it replaces.
func sameDirectory(like, dir string) error {
	var st unix.Stat_t
	if err := unix.Stat(like, &st); err != nil {
		return err
	}
	if err := unix.Chown(dir, int(st.Uid), int(st.Gid)); err != nil {
		return err
	}
	return unix.Chmod(dir, st.Mode&0o7777)
}
