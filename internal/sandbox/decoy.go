package sandbox

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The entries of a decoy during the assembly. Only the first remains.
const (
	insideName = "root" // the sandbox's root
	ptsDir     = "pts"  // its terminals, before it has a /dev
	topDir     = "top"  // the top level of the file system, during the setup of shares
	nodesDir   = "dev"  // device nodes
	oldDir     = "old"  // the running system, until this process leaves it
	stageDir   = "stage.d"
	stageFile  = "stage" // here a directory or a file becomes read-only before it is shown
)

// insideDir is the path of the sandbox's root for the keeper, PID 1 and the door.
const insideDir = "/" + insideName

// decoy is the empty file system that is the root of the keeper, of PID 1 and of the
// door.
type decoy struct{ path string }

func (d decoy) dir(name string) string { return filepath.Join(d.path, name) }

// newDecoy mounts a decoy at a directory, in this process's own mount namespace.
func newDecoy(path string) (decoy, error) {
	d := decoy{path}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return d, &os.PathError{Op: "make private the mounts of", Path: "/", Err: err}
	}
	if err := mountAt("tmpfs", path, "tmpfs", quiet, "mode=755,size=64k"); err != nil {
		return d, err
	}
	for _, name := range []string{insideName, ptsDir, topDir, nodesDir, oldDir, stageDir} {
		if err := os.Mkdir(d.dir(name), 0o755); err != nil {
			return d, err
		}
	}
	if err := os.WriteFile(d.dir(stageFile), nil, 0o600); err != nil {
		return d, err
	}
	return d, mountAt("devpts", d.dir(ptsDir), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
}

func mountAt(source, path, fstype string, flags uintptr, data string) error {
	if err := unix.Mount(source, path, fstype, flags, data); err != nil {
		return &os.PathError{Op: "mount " + fstype + " at", Path: path, Err: err}
	}
	return nil
}

// enter makes the decoy the root of this process's mount namespace and of all processes
// in it. Only the sandbox's root remains in the decoy.
func (d decoy) enter() error {
	top, err := os.Open(d.path)
	if err != nil {
		return err
	}
	defer top.Close()
	if err := climb(d.dir(oldDir)); err != nil {
		return err
	}
	if err := top.Chdir(); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", oldDir); err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/"+oldDir, unix.MNT_DETACH); err != nil {
		return &os.PathError{Op: "unmount", Path: "/" + oldDir, Err: err}
	}
	for _, name := range []string{ptsDir, topDir, nodesDir, oldDir, stageDir, stageFile} {
		if err := os.Remove("/" + name); err != nil {
			return err
		}
	}
	return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY|quiet, "mode=755,size=64k")
}

// climb makes the root of the mount namespace the root of this process. On a machine
// they are the same. If the running system itself is in a chroot, they differ: after
// pivot_root(2), a second chroot could reach the directories above. below is an empty
// directory in the present root.
func climb(below string) error {
	if err := os.Chdir("/"); err != nil {
		return err
	}
	// A process whose working directory is above its root can go up without limit.
	if err := unix.Chroot(below); err != nil {
		return err
	}
	for {
		var here, above unix.Stat_t
		if err := unix.Stat(".", &here); err != nil {
			return err
		}
		if err := unix.Stat("..", &above); err != nil {
			return err
		}
		if here.Dev == above.Dev && here.Ino == above.Ino {
			return unix.Chroot(".")
		}
		if err := unix.Chdir(".."); err != nil {
			return err
		}
	}
}
