package btrfs_test

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/tests/btrfs/packages"
)

// skipCase is an installed package, and a second package that each variant installs
// over it.
type skipCase struct {
	name    string
	others  []packages.Exact                // installed first
	before  packages.Exact                  // installed next, by stock dpkg
	prepare func(t *testing.T, root string) // then done to the root,
	script  string                          // and this, inside
	after   packages.Exact                  // what the variants install
	cut     int64                           // only so many bytes of its file are there; 0: all
	options []string                        // of dpkg
	fails   bool                            // dpkg must fail
	// unchanged maps files to the files that they replace. Their data must be shared by
	// variants that share, and by no other variant.
	unchanged map[string]string
	// changed names files whose data must be new with every variant.
	changed []string
}

// The contents are random, so that no two have a part in common by chance. The large
// content is several of dpkg's buffers (32 KiB) long.
const (
	inlineSize = 2048 // bytes: the largest file that btrfs keeps in its metadata
	smallSize  = 10000
	largeSize  = 5*32<<10 + 1234
)

// noise returns the same bytes for the same seed.
func noise(size int, seed int64) []byte {
	content := make([]byte, size)
	rand.New(rand.NewSource(seed)).Read(content)
	return content
}

// flipped returns the content with the byte at an offset changed.
func flipped(content []byte, offset int) []byte {
	content = bytes.Clone(content)
	content[offset] ^= 1
	return content
}

// skipPackage returns a package. Each version has its own file times.
func skipPackage(version string, members ...packages.Member) packages.Exact {
	changed := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range version {
		changed = changed.Add(time.Duration(c) * time.Hour)
	}
	return packages.Exact{Name: "skip", Version: version, Members: members, Time: changed}
}

func regular(name string, content []byte) packages.Member {
	return packages.Member{Name: name, Content: content}
}

func symlink(name, target string) packages.Member {
	return packages.Member{Name: name, Type: tar.TypeSymlink, Mode: 0o777, Link: target}
}

func hardLink(name, to string) packages.Member {
	return packages.Member{Name: name, Type: tar.TypeLink, Link: to}
}

// owned returns the member with the given owner and mode.
func owned(member packages.Member, mode fs.FileMode, uid, gid int) packages.Member {
	member.Mode, member.UID, member.GID = mode, uid, gid
	return member
}

// config returns the package with its only file as a conffile.
func config(e packages.Exact) packages.Exact {
	e.Control = map[string]string{"conffiles": e.Members[0].Name + "\n"}
	return e
}

// same maps files to themselves: the old files have the same names.
func same(names ...string) map[string]string {
	all := make(map[string]string)
	for _, name := range names {
		all[name] = name
	}
	return all
}

// overwrite returns a function that overwrites a file in place and restores its
// modification time.
func overwrite(name string, content []byte) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		file := filepath.Join(root, name)
		info, err := os.Stat(file)
		if err == nil {
			err = os.WriteFile(file, content, 0)
		}
		if err == nil {
			err = os.Chtimes(file, info.ModTime(), info.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// attribute returns a function that sets an extended attribute.
func attribute(name, attr string, value []byte) func(*testing.T, string) {
	return func(t *testing.T, root string) {
		if err := unix.Lsetxattr(filepath.Join(root, name), attr, value, 0); err != nil {
			t.Fatal(err)
		}
	}
}

// netAdmin is the value of security.capability for cap_net_admin+ep:
// struct vfs_cap_data of linux/capability.h.
var netAdmin = []byte{1, 0, 0, 2, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
