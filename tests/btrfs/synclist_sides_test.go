package btrfs_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// waiting is a machine with a pending environment.
type waiting struct {
	*machine.Machine
	environment string // the name of the environment
}

// newWaiting makes one whose root was prepared before the upgrade.
func newWaiting(t *testing.T, l lab, prepare func(m *machine.Machine)) waiting {
	t.Helper()
	m := l.system(t, with, running, packages.Good)
	t.Cleanup(func() { l.done(t, m) })
	prepare(m)
	if upgraded := m.Run(t, machine.Command{Args: []string{"apt-get", "-y", "dist-upgrade"}}); upgraded.Status != 0 {
		t.Fatalf("the upgrade ended with %d:\n%s", upgraded.Status, upgraded.Output)
	}
	for _, e := range environments(t, m) {
		if e.Made != "guard" {
			return waiting{m, e.Name}
		}
	}
	t.Fatal("the upgrade made no boot environment")
	return waiting{}
}

// next returns the path by which this process reaches a file of the environment.
func (w waiting) target(name string) string {
	return w.Image.Path(filepath.Join("@be", w.environment, name))
}

// inside runs a script in the environment and returns its output.
func (w waiting) inside(t *testing.T, script string) string {
	t.Helper()
	result := w.Run(t, machine.Command{Args: []string{"apt-be", "run", w.environment, "--", "sh", "-ec", script}})
	if result.Status != 0 {
		t.Fatalf("%s: status %d:\n%s", script, result.Status, result.Output)
	}
	return result.Output
}

// outcomes returns the outcomes that a command prints, by path: drift --files or sync.
func (w waiting) outcomes(t *testing.T, verb ...string) map[string]string {
	t.Helper()
	result := w.Run(t, machine.Command{Args: append(append([]string{"apt-be"}, verb...), "--json", w.environment)})
	var told struct {
		Changes []struct{ Path, Outcome string }
	}
	if err := json.Unmarshal([]byte(result.Output), &told); err != nil || result.Status != 0 {
		t.Fatalf("apt-be %q: status %d, %v:\n%s", verb, result.Status, err, result.Output)
	}
	outcomes := map[string]string{}
	for _, c := range told.Changes {
		outcomes[c.Path] = c.Outcome
	}
	return outcomes
}

// asTold returns a path in the form of JSON, which has only UTF-8.
func asTold(name string) string { return strings.ToValidUTF8(name, "\uFFFD") }

// sideChange is a change that one side, the running system or the target, makes to a
// file with the content "base\n".
type sideChange func(t *testing.T, file, side string)

// The changes.
var (
	keep sideChange = func(*testing.T, string, string) {}
	edit sideChange = func(t *testing.T, file, side string) {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
		storeMust(t, err)
		_, err = f.WriteString(side + "\n")
		storeMust(t, errors.Join(err, f.Close()))
	}
	alike sideChange = func(t *testing.T, file, _ string) { edit(t, file, "alike") }
	drop  sideChange = func(t *testing.T, file, _ string) { storeMust(t, os.Remove(file)) }
	link  sideChange = func(t *testing.T, file, side string) {
		drop(t, file, side)
		storeMust(t, os.Symlink(side, file))
	}
	directory sideChange = func(t *testing.T, file, side string) {
		drop(t, file, side)
		storeMust(t, os.Mkdir(file, 0o755))
	}
	full sideChange = func(t *testing.T, file, side string) {
		directory(t, file, side)
		edit(t, filepath.Join(file, "in"), side)
	}
	mode sideChange = func(t *testing.T, file, side string) {
		storeMust(t, os.Chmod(file, map[string]os.FileMode{"live": 0o600, "next": 0o640}[side]))
	}
	owner sideChange = func(t *testing.T, file, side string) { storeMust(t, os.Chown(file, 1, 1)) }
	acl   sideChange = func(t *testing.T, file, side string) {
		storeMust(t, setACL(file, map[string]uint32{"live": 1, "next": 2}[side]))
	}
	another sideChange = func(t *testing.T, file, _ string) { storeMust(t, os.Link(file, file+".too")) }
	// anotherEdited is another, followed by edit.
	anotherEdited sideChange = func(t *testing.T, file, side string) {
		another(t, file, side)
		edit(t, file, side)
	}
)

const accessACL = "system.posix_acl_access"

// setACL allows one more user to read a file of mode 0644, like setfacl -m u:UID:r
// (acl(5), linux/posix_acl_xattr.h).
func setACL(file string, uid uint32) error {
	const nobody = 0xffffffff
	acl := binary.LittleEndian.AppendUint32(nil, 2)
	for _, entry := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, 6, nobody}, {0x02, 4, uid}, {0x04, 4, nobody}, {0x10, 4, nobody}, {0x20, 4, nobody}} {
		acl = binary.LittleEndian.AppendUint16(acl, entry.tag)
		acl = binary.LittleEndian.AppendUint16(acl, entry.perm)
		acl = binary.LittleEndian.AppendUint32(acl, entry.id)
	}
	return unix.Lsetxattr(file, accessACL, acl, 0)
}

// aclUser returns the user of setACL.
func aclUser(file string) (uid uint32, ok bool) {
	acl := make([]byte, 256)
	if n, err := unix.Lgetxattr(file, accessACL, acl); err != nil || n < 20 {
		return 0, false
	}
	return binary.LittleEndian.Uint32(acl[16:]), true
}

// look describes the file at a path: its lines with a plus between, or its link target,
// followed by unusual properties.
func look(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Lstat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "gone"
	}
	storeMust(t, err)
	st := info.Sys().(*syscall.Stat_t)
	var is string
	usual := os.FileMode(0o644)
	switch info.Mode().Type() {
	case fs.ModeSymlink:
		target, err := os.Readlink(file)
		storeMust(t, err)
		return "->" + target
	case fs.ModeDir:
		is, usual = "directory", 0o755
	default:
		content, err := os.ReadFile(file)
		storeMust(t, err)
		is = strings.ReplaceAll(strings.TrimSuffix(string(content), "\n"), "\n", "+")
		if st.Nlink > 1 {
			is += fmt.Sprintf(" %d names", st.Nlink)
		}
	}
	if info.Mode().Perm() != usual {
		is += fmt.Sprintf(" %04o", info.Mode().Perm())
	}
	above, err := os.Stat(filepath.Dir(file))
	storeMust(t, err)
	if st.Uid != 0 || st.Gid != above.Sys().(*syscall.Stat_t).Gid {
		is += fmt.Sprintf(" owner %d:%d", st.Uid, st.Gid)
	}
	if uid, ok := aclUser(file); ok {
		is += fmt.Sprintf(" acl %d", uid)
	}
	return is
}
