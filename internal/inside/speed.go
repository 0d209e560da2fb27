package inside

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// PredecompressDir is the directory of decompressed packages in a sandbox (package
// predecompress).
const PredecompressDir = "/run/apt-be/ahead"

// aptConfInside is a configuration file for apt that exists only in a sandbox. apt
// reads it before all others, through $APT_CONFIG.
const aptConfInside = "/run/apt-be/apt.conf"

// lateInitramfs exists in a sandbox in which update-initramfs only records its tasks,
// in this file.
const lateInitramfs = "/run/apt-be/initramfs"

// The replacements for dpkg that do not write unchanged files. Separate packages
// contain them. They belong to the running system, so an upgrade in the sandbox cannot
// change them.
const (
	preloaded    = "skip-unchanged"                  // a script among the stand-ins
	patchedDir   = "/usr/lib/dpkg-skip-unchanged"    // a dpkg, and the script run that starts it
	patchedPlace = "/run/apt-be/dpkg-skip-unchanged" // its path inside
)

// checkSpaceHook stops apt before it unpacks anything if the upgrade does not fit. It
// runs before all other hooks of apt, like predecompressHook.
const checkSpaceHook = `DPkg::Pre-Install-Pkgs { "APT_BE=check-space /usr/bin/apt-be check-space"; };
DPkg::Tools::Options::APT_BE=check-space { Version "3"; InfoFD "22"; };
`

// applySpeed makes a sandbox use the speed-ups that the policy allows.
func applySpeed(spec *sandbox.Spec, speed aptconf.Speed) {
	spec.NoSync = speed.NoSync
	spec.Texts = map[string]string{}
	spec.Collect = append(spec.Collect, VetoNote, PassNote)
	if speed.OneInitramfs {
		spec.Texts[lateInitramfs] = ""
		spec.Collect = append(spec.Collect, lateInitramfs)
	}
	var conf strings.Builder
	conf.WriteString(checkSpaceHook)
	if size := predecompressSize(); speed.Predecompress && size > 0 {
		spec.Memory = append(spec.Memory, sandbox.Memory{Target: PredecompressDir, Size: size})
		conf.WriteString(predecompressHook)
	}
	if speed.SkipUnchanged {
		if dpkg := skipUnchanged(spec); dpkg != "" {
			fmt.Fprintf(&conf, "Dir::Bin::dpkg %q;\n", dpkg)
		}
	}
	spec.Env, spec.Texts[aptConfInside] = configure(spec.Env, conf.String())
}

// predecompressHook runs before all other hooks of apt, because some of them read the
// packages, too. Its command begins with a unique word, like the guard's.
const predecompressHook = `DPkg::Pre-Install-Pkgs { "APT_BE=predecompress /usr/bin/apt-be predecompress || true"; };
DPkg::Tools::Options::APT_BE=predecompress { Version "3"; InfoFD "21"; };
`

// configure adds a configuration file of apt to an environment, and includes the file
// that the user may have named in $APT_CONFIG. apt only warns about a missing file, but
// fails if another file includes a missing one.
func configure(env []string, conf string) (with []string, text string) {
	for _, entry := range env {
		if file, ok := strings.CutPrefix(entry, "APT_CONFIG="); ok {
			if _, err := os.Stat(file); err == nil {
				conf += fmt.Sprintf("#include %q;\n", file)
			}
			continue
		}
		with = append(with, entry)
	}
	return append(with, "APT_CONFIG="+aptConfInside), conf
}

// skipUnchanged shows the replacement for dpkg in a sandbox and returns its path
// inside. It returns "" if none is installed.
func skipUnchanged(spec *sandbox.Spec) string {
	if isFile(filepath.Join(spec.Bin, preloaded)) {
		return filepath.Join(sandbox.BinDir, preloaded)
	}
	if isFile(filepath.Join(patchedDir, "run")) {
		spec.Shown[patchedPlace] = patchedDir
		return filepath.Join(patchedPlace, "run")
	}
	return ""
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// predecompressSize returns the memory limit for decompressed packages, in bytes: a
// quarter of the available memory, and at most the amount that large upgrades can use.
func predecompressSize() uint64 {
	const most, least = 2 << 30, 64 << 20
	available, err := memAvailable()
	if err != nil || available/4 < least {
		return 0
	}
	return min(available/4, most)
}

// memAvailable returns MemAvailable of /proc/meminfo (Linux 3.14), in bytes.
func memAvailable() (uint64, error) {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for lines.Scan() {
		var kilobytes uint64
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kilobytes); n == 1 {
			return kilobytes << 10, nil
		}
	}
	return 0, errors.Join(fs.ErrNotExist, lines.Err())
}
