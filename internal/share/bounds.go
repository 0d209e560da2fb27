package share

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/fstab"
	"github.com/apt-be/apt-be/internal/openat2"
	"github.com/apt-be/apt-be/internal/rootfs"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// Reasons why the arguments of a step are out of bounds. docs/recovery.md has the
// bounds of all kinds of steps.
const (
	notOfIt = "is not of this transaction"
	noDir   = "is not a directory for a share"
)

// freshPlace is the place at which a transaction builds a share; restoring is the
// directory beside a share in which a transaction restores a snapshot.
func freshPlace(id string) string     { return Dir + "/" + newPrefix + id }
func restoring(dir, id string) string { return path.Join(dir, ".apt-be-restore-"+id) }

// The fstab decides about a share's directory, so it can be anywhere, except where the
// transaction chose it.
func isDir(dir string) bool {
	return strings.HasPrefix(dir, "/") && dir != "/" && path.Clean(dir) == dir && !strings.ContainsRune(dir, 0)
}

func checkMake(id string, a txn.Args) error {
	if a["dst"] != freshPlace(id) {
		return txn.OutOfBounds(a["dst"], notOfIt)
	}
	return a.Only("dst")
}

// isName reports whether a name can be a share's, including names that a user made and
// names of share snapshots, which are longer.
func isName(name string) bool {
	return name != "" && !strings.Contains(name, "/") && !strings.HasPrefix(name, newPrefix) && store.CheckPath(Dir+"/"+name) == nil
}

// checkMove checks the arguments that all steps of moves have.
func checkMove(a txn.Args, further ...string) error {
	m := moveIn(a)
	switch {
	case !isName(m.name):
		return txn.OutOfBounds(m.name, "is not the name of a share")
	case !be.IsUUID(m.uuid):
		return txn.OutOfBounds(m.uuid, "is not a UUID")
	case !be.IsUUID(m.envUUID):
		return txn.OutOfBounds(m.envUUID, "is not a UUID")
	case !be.IsEnvPlace(m.env):
		return txn.OutOfBounds(m.env, "is not the place of a boot environment")
	case !isDir(m.dir):
		return txn.OutOfBounds(m.dir, noDir)
	}
	return a.Only(append(further, "share", "uuid", "from", "env", "env-uuid", "path", "old", "copy", "mounted", "seal")...)
}

// checkAdd checks the steps that turn a directory into a share.
func checkAdd(id string, a txn.Args) error {
	switch {
	case a["from"] != freshPlace(id):
		return txn.OutOfBounds(a["from"], notOfIt)
	case checkName(a["path"]) != nil:
		return txn.OutOfBounds(a["path"], noDir)
	}
	return checkMove(a)
}

// checkRemove checks the steps that turn a share into a directory.
func checkRemove(_ string, a txn.Args) error {
	if a["from"] != "" {
		return txn.OutOfBounds(a["from"], notOfIt)
	}
	return checkMove(a)
}

// checkInPlace checks the steps that restore a share snapshot in place.
func checkInPlace(_ string, a txn.Args) error {
	dir, name := path.Split(a["from"])
	if dir != Dir+"/" || !strings.HasPrefix(name, a["share"]+"-") || !isName(name) {
		return txn.OutOfBounds(a["from"], notOfIt)
	}
	return checkMove(a)
}

func checkClone(id string, a txn.Args) error {
	dir, name := path.Split(a["src"])
	switch {
	case dir != be.ShareSnapshotDir+"/" || name == "" || store.CheckPath(a["src"]) != nil:
		return txn.OutOfBounds(a["src"], "is not a share snapshot")
	case !be.IsUUID(a["parent"]):
		return txn.OutOfBounds(a["parent"], "is not a UUID")
	}
	rest := txn.Args{}
	for key, value := range a {
		if key != "src" && key != "parent" {
			rest[key] = value
		}
	}
	return checkInPlace(id, rest)
}

// checkBeside checks the steps that restore a share snapshot beside the share.
func checkBeside(id string, a txn.Args) error {
	switch dir := path.Dir(a["to"]); {
	case !isDir(a["to"]):
		return txn.OutOfBounds(a["to"], noDir)
	case a["from"] != restoring(dir, id):
		return txn.OutOfBounds(a["from"], notOfIt)
	case !be.IsEnvPlace(a["env"]):
		return txn.OutOfBounds(a["env"], "is not the place of a boot environment")
	case !be.IsUUID(a["env-uuid"]):
		return txn.OutOfBounds(a["env-uuid"], "is not a UUID")
	}
	return a.Only("env", "env-uuid", "from", "to")
}

// checkEntered fails if the environment's fstab does not mount the share at the
// directory that will be emptied.
func (s *Shares) checkEntered(m move) error {
	entries, err := s.entries(m.env)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(entries, func(e fstab.Entry) bool { return e.Subvolume() == m.subvolume() && e.Dir == m.dir }) {
		return fmt.Errorf("%w: the fstab of %s does not have %s at %s", be.ErrProtected, m.env, m.subvolume(), m.dir)
	}
	return nil
}

// checkUnmounted fails if a share is mounted, or an environment's fstab mounts it.
func (s *Shares) checkUnmounted(sub store.Subvolume) error {
	if err := s.registry.CheckUnused(sub); err != nil {
		return err
	}
	shares, err := s.List()
	if err != nil {
		return err
	}
	for _, share := range shares {
		if share.Subvolume.UUID == sub.UUID && len(share.Mounts) > 0 {
			return fmt.Errorf("%w: %s mounts %s", be.ErrProtected, share.Mounts[0].Env.Name, sub.Path)
		}
	}
	return nil
}

// openTree opens a directory of the store without following links.
func (s *Shares) openTree(at string) (*rootfs.Root, error) {
	top, err := os.Open(s.store.Path("."))
	if err != nil {
		return nil, err
	}
	defer top.Close()
	fd, err := openat2.Open(int(top.Fd()), at, unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(fd)
	return rootfs.OpenTree(fmt.Sprintf("/proc/self/fd/%d/.", fd), "")
}
