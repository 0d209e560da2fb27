package pkgdb

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Kernel is a kernel in the /boot of a root. Paths are relative to the root, without a
// leading slash.
type Kernel struct {
	Version string // as uname -r prints it
	Image   string // "boot/vmlinuz-V"; "" if the file is empty or not regular
	Initrd  string // "boot/initrd.img-V"; "" if the file is missing or empty
	Modules bool   // its modules exist, and depmod(8) has indexed them
}

// Bootable returns the reason why the kernel cannot boot its root, or nil.
func (k Kernel) Bootable() error {
	switch {
	case k.Image == "":
		return fmt.Errorf("the image of kernel %s is not a file with content", k.Version)
	case k.Initrd == "":
		return fmt.Errorf("kernel %s has no initrd", k.Version)
	case !k.Modules:
		return fmt.Errorf("kernel %s has no modules", k.Version)
	}
	return nil
}

// Kernels lists the kernels in the boot directory of root, newest first. The list is
// empty in a root that does not boot by itself, and if /boot is another file system.
func Kernels(root string) ([]Kernel, error) {
	dir, err := openRoot(root)
	if err != nil {
		return nil, err
	}
	defer dir.close()

	names, err := dir.names("boot")
	if err != nil {
		return nil, err
	}
	var kernels []Kernel
	for _, name := range names {
		version, isImage := imageVersion(name)
		known := slices.ContainsFunc(kernels, func(k Kernel) bool { return k.Version == version })
		// vmlinux sorts before vmlinuz, which Debian boots if both exist.
		if !isImage || known || strings.HasPrefix(name, "vmlinux-") && slices.Contains(names, "vmlinuz-"+version) {
			continue
		}
		kernels = append(kernels, Kernel{
			Version: version,
			Image:   dir.fileWithContents(path.Join("boot", name)),
			Initrd:  dir.fileWithContents("boot/initrd.img-" + version),
			Modules: dir.hasModules(version),
		})
	}
	slices.SortFunc(kernels, func(a, b Kernel) int { return compareKernels(b.Version, a.Version) })
	return kernels, nil
}

// kernelVersion matches a valid version, which goes into boot loader entries.
var kernelVersion = regexp.MustCompile(`^[0-9][A-Za-z0-9.+~_-]*$`)

// imageVersion returns the version of the kernel image with this name. Backups of dpkg
// and installkernel(8) are not images.
func imageVersion(name string) (version string, isImage bool) {
	for _, prefix := range []string{"vmlinuz-", "vmlinux-"} {
		if rest, found := strings.CutPrefix(name, prefix); found {
			aside := strings.Contains(rest, ".dpkg-") || strings.HasSuffix(rest, ".old") || strings.HasSuffix(rest, "~")
			return rest, kernelVersion.MatchString(rest) && !aside
		}
	}
	return "", false
}

// fileWithContents returns name if it is a regular file that is not empty, otherwise
// "".
func (r *rootDir) fileWithContents(name string) string {
	info, err := r.stat(name)
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return ""
	}
	return name
}

// hasModules looks for modules.dep and not for the directory: dpkg keeps the directory
// of a removed kernel if it contains a file that dpkg does not own.
func (r *rootDir) hasModules(version string) bool {
	for _, dir := range []string{"usr/lib/modules", "lib/modules"} {
		if info, err := r.stat(path.Join(dir, version, "modules.dep")); err == nil && info.Mode().IsRegular() {
			return true
		}
	}
	return false
}

// compareKernels orders as linux-version(1): as Debian versions, with a release
// candidate before its release.
func compareKernels(a, b string) int {
	debian := func(version string) string { return strings.Replace(version, "-rc", "~rc", 1) }
	order, err := compareVersions(debian(a), debian(b))
	if err != nil || order == 0 {
		return cmp.Compare(a, b)
	}
	return order
}
