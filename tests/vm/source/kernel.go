package source

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/tests/vm/guest"
)

// kernel is the package that has a machine get new kernels.
const kernel = "linux-image-cloud-amd64"

// NewKernel returns package files by which "apt-get dist-upgrade" brings a
// machine a kernel whose release, as uname(1) has it, is not that of the
// installed one: it is newer, or where Debian has none that is, another flavour.
func NewKernel(t guest.T, release Release) []string {
	t.Helper()
	files := Download(t, release, kernel)
	if slices.ContainsFunc(files, isKernel) {
		return files
	}
	const other = "linux-image-amd64"
	files = Download(t, release, other)
	return append(files, meta(t, other))
}

// isKernel tells whether a package file has a kernel and is not one that just
// depends on the newest.
func isKernel(file string) bool {
	version, ok := strings.CutPrefix(filepath.Base(file), "linux-image-")
	return ok && version[0] >= '0' && version[0] <= '9'
}

// meta makes a newer version of package kernel that depends on another.
func meta(t guest.T, dependency string) string {
	t.Helper()
	tree, err := os.MkdirTemp("", "apt-be-meta.")
	if err != nil {
		t.Fatalf("cannot make a package: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(tree) })
	control := fmt.Sprintf("Package: %s\nVersion: 99\nArchitecture: amd64\nMaintainer: apt-be tests <root@localhost>\n"+
		"Depends: %s\nDescription: another kernel\n", kernel, dependency)
	file := filepath.Join(tree, kernel+"_99_amd64.deb")
	err = os.MkdirAll(filepath.Join(tree, "root/DEBIAN"), 0o755)
	if err == nil {
		err = os.WriteFile(filepath.Join(tree, "root/DEBIAN/control"), []byte(control), 0o644)
	}
	if err != nil {
		t.Fatalf("cannot make a package: %v", err)
	}
	output(t, exec.Command("dpkg-deb", "--build", "--root-owner-group", filepath.Join(tree, "root"), file))
	return file
}
