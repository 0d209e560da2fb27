package redirect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/dedupe"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// AheadDir is where decompressed packages are in a sandbox (package ahead).
const AheadDir = "/run/apt-be/ahead"

// aptConfInside is a configuration of apt that only a sandbox has. It is read
// before all others, by way of $APT_CONFIG.
const aptConfInside = "/run/apt-be/apt.conf"

// lateInitramfs is there in a sandbox whose update-initramfs only notes in it
// what it should do.
const lateInitramfs = "/run/apt-be/initramfs"

// Programs that stand for dpkg and don't write files that are there already;
// each is a package of its own. The first is among the running system's
// stand-ins, so it lasts whatever the upgrade does to the package.
const (
	preloadedDpkg = sandbox.BinDir + "/skip-unchanged"
	patchedDpkg   = "/usr/lib/dpkg-skip-unchanged/dpkg"
)

// hasten has a sandbox that builds a new environment do so as fast as a policy
// allows. root is where the environment's root is to be had.
func hasten(spec *sandbox.Spec, root string, speed aptconf.Speed) {
	spec.NoSync = speed.NoSync
	spec.Texts = map[string]string{}
	if speed.OneInitramfs {
		spec.Texts[lateInitramfs] = ""
		spec.Collect = append(spec.Collect, lateInitramfs)
	}
	var conf strings.Builder
	if size := aheadSize(); speed.UnpackAhead && size > 0 {
		spec.Memory = append(spec.Memory, sandbox.Memory{Target: AheadDir, Size: size})
		conf.WriteString(aheadHook)
	}
	if dpkg := dpkgThatSkips(spec.Bin, root); speed.SkipUnchanged && dpkg != "" {
		fmt.Fprintf(&conf, "Dir::Bin::dpkg %q;\n", dpkg)
	}
	if conf.Len() > 0 {
		spec.Env, spec.Texts[aptConfInside] = configure(spec.Env, conf.String())
	}
}

// shareUnchanged has the files of a build that were written again unchanged
// take no space of their own. If that can't be done, it is the space that is lost.
func (s *Supervisor) shareUnchanged(ctx context.Context, build *be.Build, job Job) {
	if !job.Speed.Dedupe {
		return
	}
	st := s.Registry.Store()
	report, err := dedupe.Run(ctx, st.Path(build.Base), st.Path(build.Path), dedupe.Options{})
	if err != nil {
		s.Log.WithError(err).Warnf("cannot share the unchanged files of %s", build.Name)
		return
	}
	if report.Failed.Files > 0 {
		s.Log.Warnf("cannot share %d files of %s, the first because of this: %s", report.Failed.Files, build.Name, report.Failure)
	}
	s.Log.Debugf("%d unchanged files share %d bytes with the running system", report.Shared.Files, report.Shared.Bytes)
}

// aheadHook comes before all other hooks of apt, some of which look into the
// packages too. It begins with a word of our own, as the guard's does.
const aheadHook = `DPkg::Pre-Install-Pkgs { "APT_BE=unpack-ahead /usr/bin/apt-be unpack-ahead || true"; };
DPkg::Tools::Options::APT_BE=unpack-ahead { Version "3"; InfoFD "21"; };
`

// configure adds a configuration of apt to an environment, below the one that
// the user may have named there.
func configure(env []string, conf string) (with []string, text string) {
	for _, entry := range env {
		if file, ok := strings.CutPrefix(entry, "APT_CONFIG="); ok {
			if file != "" {
				conf += fmt.Sprintf("#include %q;\n", file)
			}
			continue
		}
		with = append(with, entry)
	}
	return append(with, "APT_CONFIG="+aptConfInside), conf
}

// dpkgThatSkips is what stands for dpkg in a sandbox with such a directory of
// stand-ins and a root, or "".
func dpkgThatSkips(bin, root string) string {
	for _, d := range []struct{ outside, inside string }{
		{filepath.Join(bin, filepath.Base(preloadedDpkg)), preloadedDpkg},
		{filepath.Join(root, patchedDpkg), patchedDpkg},
	} {
		if info, err := os.Lstat(d.outside); err == nil && info.Mode().IsRegular() {
			return d.inside
		}
	}
	return ""
}

// aheadSize is how much memory decompressed packages may take, in bytes: a
// quarter of what is available, and no more than what most upgrades can use.
func aheadSize() uint64 {
	const most, least = 2 << 30, 64 << 20
	available, err := memAvailable()
	if err != nil || available/4 < least {
		return 0
	}
	return min(available/4, most)
}

// memAvailable is MemAvailable of /proc/meminfo (Linux 3.14), in bytes.
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
