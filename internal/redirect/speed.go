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

// PredecompressDir is where decompressed packages are in a sandbox (package ahead).
const PredecompressDir = "/run/apt-be/ahead"

// aptConfInside is a configuration of apt that only a sandbox has. It is read
// before all others, by way of $APT_CONFIG.
const aptConfInside = "/run/apt-be/apt.conf"

// lateInitramfs is there in a sandbox whose update-initramfs only notes in it
// what it should do.
const lateInitramfs = "/run/apt-be/initramfs"

// What stands for dpkg and doesn't write files that are there already: packages
// of their own. They are the running system's, so they last whatever the upgrade
// does to the packages.
const (
	preloaded    = "skip-unchanged"                  // a script among the stand-ins
	patchedDir   = "/usr/lib/dpkg-skip-unchanged"    // a dpkg, and the script run that starts it
	patchedPlace = "/run/apt-be/dpkg-skip-unchanged" // where that is inside
)

// checkSpaceHook has apt stop before it unpacks anything if that does not fit. It comes
// before all other hooks of apt, as predecompressHook does.
const checkSpaceHook = `DPkg::Pre-Install-Pkgs { "APT_BE=check-space /usr/bin/apt-be check-space"; };
DPkg::Tools::Options::APT_BE=check-space { Version "3"; InfoFD "22"; };
`

// applySpeed has a sandbox that builds a new environment do so as fast as a policy
// allows, and only if what it unpacks fits.
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

// shareUnchanged has the files of a build that were written again unchanged
// take no space of their own. If that can't be done, it is the space that is lost.
func (s *Supervisor) shareUnchanged(ctx context.Context, build *be.Build, job Job) {
	if !job.Speed.Dedupe {
		return
	}
	st := s.Registry.Store()
	report, err := dedupe.Run(ctx, st.Path(build.Base), st.Path(build.Path), dedupe.Options{Parts: be.PlacesOf(build.Record.Parts)})
	if err != nil {
		s.Log.WithError(err).Warnf("cannot share the unchanged files of %s", build.Name)
		return
	}
	if report.Failed.Files > 0 {
		s.Log.Warnf("cannot share %d files of %s, the first because of this: %s", report.Failed.Files, build.Name, report.Failure)
	}
	s.Log.Debugf("%d unchanged files share %d bytes with the running system", report.Shared.Files, report.Shared.Bytes)
}

// predecompressHook comes before all other hooks of apt, some of which look into the
// packages too. It begins with a word of our own, as the guard's does.
const predecompressHook = `DPkg::Pre-Install-Pkgs { "APT_BE=predecompress /usr/bin/apt-be predecompress || true"; };
DPkg::Tools::Options::APT_BE=predecompress { Version "3"; InfoFD "21"; };
`

// configure adds a configuration of apt to an environment, below the one that
// the user may have named there. A file that is not there apt only warns of, but
// not where another file includes it.
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

// skipUnchanged has a sandbox show what stands for dpkg, and returns its path
// inside: "" if there is none.
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

// predecompressSize is how much memory decompressed packages may take, in bytes: a
// quarter of what is available, and no more than what most upgrades can use.
func predecompressSize() uint64 {
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
