package upgrade

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
	"github.com/apt-be/apt-be/internal/pkgdb"
	"github.com/apt-be/apt-be/internal/report"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// inspect determines the state of the build's root after the frontend. The exit status
// is not sufficient: apt's is 0 after a Ctrl-C that left packages half installed, and
// unattended-upgrade's is 1 after a good run. why is the reason if the root is not
// healthy. initramfs waits for the initramfs builds; before is the fingerprint of the
// packages before the frontend ran.
func (r *run) inspect(ctx context.Context, build *be.Build, before string, result sandbox.Result, initramfs func() error) (o Outcome, why string, err error) {
	o = Outcome{Frontend: r.job.Frontend, ExitCode: result.ExitCode, Signal: int(result.Signal)}
	base, root := r.Registry.Store().Path(build.Base), r.Registry.Store().Path(build.Path)
	after, err := pkgdb.Fingerprint(root)
	if err != nil {
		// The database was readable before, so the result cannot be booted.
		o.Changed = true
		return o, err.Error(), nil
	}
	if o.Changed = before != after && !inside.Vetoed(result); !o.Changed {
		return o, "", nil
	}
	if r.job.Speed.Dedupe {
		done := r.step("share unchanged files")
		r.shareUnchanged(ctx, build)
		done()
	}
	// Read the log as it is inside, because it may be on another file system. The
	// running root's log is unchanged, because dpkg is locked.
	old, err := os.ReadFile(filepath.Join(r.Root, report.HistoryLog))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return o, "", err
	}
	if historyErrors := pkgdb.HistoryErrors(old, result.Collected[report.HistoryLog]); len(historyErrors) > 0 {
		o.HistoryError = true
		why = strings.Join(historyErrors, "; ")
	}
	for _, check := range []struct {
		name string
		do   func() (string, error)
	}{
		{"check packages", func() (string, error) { return checkPackages(base, root) }},
		{"dpkg --audit, apt-get check", func() (string, error) { return r.checkTools(ctx, build, r.job.Settings) }},
		{"wait for the initramfs", func() (string, error) { return "", initramfs() }},
		{"check kernels", func() (string, error) { return checkKernels(base, root) }},
	} {
		done := r.step(check.name)
		trouble, err := check.do()
		done()
		if err != nil {
			trouble = err.Error()
		}
		if trouble != "" {
			if why == "" {
				why = trouble
			}
			return o, why, nil
		}
	}
	o.Healthy = true
	return o, why, nil
}

// checkPackages describes packages that are half installed, or whose installation or
// removal is incomplete, and that were not so before.
func checkPackages(base, root string) (trouble string, err error) {
	before, err := pkgdb.Read(base)
	if err != nil {
		return "", err
	}
	after, err := pkgdb.Read(root)
	if err != nil {
		return "", err
	}
	known := map[string]bool{}
	for _, p := range append(before.Broken(), before.Unfinished()...) {
		known[p.Name+":"+p.Arch] = true
	}
	var names []string
	for _, p := range append(after.Broken(), after.Unfinished()...) {
		if !known[p.Name+":"+p.Arch] {
			names = append(names, fmt.Sprintf("%s (%s)", p.Name, p.Status))
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	const shown = 5
	if more := len(names) - shown; more > 0 {
		names = append(names[:shown], fmt.Sprintf("and %d more", more))
	}
	return "not whole: " + strings.Join(names, ", "), nil
}

// checkKernels describes a new kernel without initrd or modules. Kernel scripts were
// seen to leave that state with exit status 0. On a machine whose kernels have no
// initrd, it does not require one.
func checkKernels(base, root string) (trouble string, err error) {
	before, err := pkgdb.Kernels(base)
	if err != nil {
		return "", err
	}
	after, err := pkgdb.Kernels(root)
	if err != nil {
		return "", err
	}
	wantsInitrd := slices.ContainsFunc(before, func(k pkgdb.Kernel) bool { return k.Initrd != "" })
	for _, k := range after {
		was := slices.IndexFunc(before, func(old pkgdb.Kernel) bool { return old.Version == k.Version })
		if was >= 0 && before[was].Bootable() != nil {
			continue
		}
		if k.Initrd == "" && was < 0 && !wantsInitrd && len(before) > 0 {
			k.Initrd = k.Image
		}
		if err := k.Bootable(); err != nil {
			return err.Error(), nil
		}
	}
	return "", nil
}

// tool is a command that examines a root.
type tool struct {
	name string
	argv func(frontend string, settings []string) []string
	says bool // any output means trouble; otherwise only the exit status does
}

// tools are the commands by which an administrator would check a system.
var tools = []tool{
	{"dpkg --audit", func(string, []string) []string { return []string{"/usr/bin/dpkg", "--audit"} }, true},
	{"apt-get check", func(aptGet string, settings []string) []string {
		// Whether the installed packages fit together does not depend on the archives.
		// Without the package lists the check takes a thirtieth of the time. RootDir
		// can only be "/" here, and must precede empty names.
		options := []string{"Debug::NoLocking=1", "RootDir=", "Dir::Cache::pkgcache=", "Dir::Cache::srcpkgcache=",
			"Dir::Etc::sourcelist=/dev/null", "Dir::Etc::sourceparts=/dev/null"}
		argv := append([]string{aptGet, "-qq"}, settings...)
		for _, option := range options {
			argv = append(argv, "-o", option)
		}
		return append(argv, "check")
	}, false},
}

// checkTools runs the root's own dpkg and apt on the root, with the frontend's
// settings. Findings that the running root has, too, do not count.
func (u *Upgrader) checkTools(ctx context.Context, build *be.Build, settings inside.Settings) (trouble string, err error) {
	aptInside, err := inside.RealPath(frontend.AptGet, u.Registry.Store().Path(build.Path))
	if err != nil {
		return "", err
	}
	aptRunning, err := inside.RealPath(frontend.AptGet, u.Root)
	if err != nil {
		return "", err
	}
	troubles, errs := make([]string, len(tools)), make([]error, len(tools))
	var running sync.WaitGroup
	for i, t := range tools {
		running.Add(1)
		go func() {
			defer running.Done()
			troubles[i], errs[i] = u.checkTool(ctx, build, t, settings, aptInside, aptRunning)
		}()
	}
	running.Wait()
	for i := range tools {
		if troubles[i] != "" || errs[i] != nil {
			return troubles[i], errs[i]
		}
	}
	return "", nil
}

// checkTool runs one of the tools. aptInside and aptRunning are the apt-get programs of
// the two roots.
func (u *Upgrader) checkTool(ctx context.Context, build *be.Build, t tool, settings inside.Settings, aptInside, aptRunning string) (trouble string, err error) {
	said, failed, err := u.Launcher.Examine(ctx, build, t.name, settings, func(settings []string) []string { return t.argv(aptInside, settings) })
	if err != nil {
		return "", err
	}
	if !failed && !(t.says && len(said) > 0) {
		return "", nil
	}
	before, failedBefore, err := inside.ExamineRunning(ctx, t.name+" in the running system", t.argv(aptRunning, settings.Args()))
	if err != nil {
		return "", err
	}
	failedBefore = failedBefore || t.says && len(before) > 0
	if !failedBefore || !bytes.Equal(bytes.TrimSpace(before), bytes.TrimSpace(said)) {
		return fmt.Sprintf("%s says: %s", t.name, firstLine(said)), nil
	}
	return "", nil
}

func firstLine(text []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	if line == "" {
		return "nothing, and failed"
	}
	return line
}

// changes counts the packages that differ between the build and its origin.
func (u *Upgrader) changes(build *be.Build) (be.Changes, error) {
	before, err := pkgdb.Read(u.Registry.Store().Path(build.Base))
	if err != nil {
		return be.Changes{}, err
	}
	after, err := pkgdb.Read(u.Registry.Store().Path(build.Path))
	if err != nil {
		return be.Changes{}, err
	}
	diff, err := pkgdb.Compare(before, after)
	if err != nil {
		return be.Changes{}, err
	}
	return Count(diff), nil
}

// Count counts the packages of a difference.
func Count(diff pkgdb.Diff) be.Changes {
	return be.Changes{
		Upgraded:   len(diff.Upgraded),
		Downgraded: len(diff.Downgraded),
		Added:      len(diff.Added),
		Removed:    len(diff.Removed),
	}
}
