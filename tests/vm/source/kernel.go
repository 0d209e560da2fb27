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

// kernel is the package through which a machine gets new kernels.
const kernel = "linux-image-cloud-amd64"

// NewKernel returns package files with which "apt-get dist-upgrade" installs a kernel
// with another release, in the sense of uname(1): a newer one, or, if Debian has none,
// another flavour.
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

// isKernel reports whether a package file contains a kernel, in contrast to a package
// that only depends on one.
func isKernel(file string) bool {
	version, ok := strings.CutPrefix(filepath.Base(file), "linux-image-")
	return ok && version[0] >= '0' && version[0] <= '9'
}

// meta builds a newer version of package kernel with another dependency.
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
