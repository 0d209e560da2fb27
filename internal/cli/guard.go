package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/redirect"
	"github.com/apt-be/apt-be/internal/store"
)

// guardsKept is how many safety snapshots stay.
const guardsKept = 3

// guardStamp names the apt run for which the last safety snapshot was taken.
const guardStamp = "/run/apt-be/guarded"

func newGuard(app *App) *cobra.Command {
	return &cobra.Command{
		Use:    "guard",
		Short:  "Take a safety snapshot before apt changes the running system",
		Hidden: true, // apt calls it
		Args:   noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			app.hook = true
			return app.guard(cmd.Context())
		},
	}
}

// guard is apt's DPkg::Pre-Install-Pkgs hook: an error keeps apt from
// unpacking anything.
func (app *App) guard(ctx context.Context) error {
	if !redirect.OnMachine() || os.Getenv("APT_BE_BYPASS") == "1" {
		return nil
	}
	in, err := hookInput()
	if err != nil {
		return err
	}
	if in.ChangesNothing() { // before the policy, which may be broken: packages can be removed all the same
		return nil
	}
	policy, err := in.Config.Policy()
	if err != nil {
		return err
	}
	if policy.Guard == aptconf.GuardOff {
		return nil
	}
	if policy.Guard == aptconf.GuardVeto {
		return fmt.Errorf("cannot let the running system be upgraded: %w: Apt-Be::Guard is veto; apt-get dist-upgrade goes to a boot environment, -o Apt-Be::Guard=off allows it", be.ErrProtected)
	}
	reg, done, err := app.registry()
	if errors.Is(err, store.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return err
	}
	defer done()
	if state, err := redirect.RootState(reg.Store()); err != nil || state != redirect.RootOK {
		return err // a snapshot would not have all of the system
	}
	run := aptRun()
	if last, err := os.ReadFile(guardStamp); err == nil && run != "" && string(last) == run {
		return nil
	}
	e, err := app.safetySnapshot(ctx, reg, in.Config.List(leaveOutItem))
	if err != nil {
		return fmt.Errorf("cannot take a safety snapshot (-o Apt-Be::Guard=off goes without): %w", err)
	}
	app.notice().Say("The running system as it is now is kept as boot environment %s.", e.Name)
	// What fails from here on is no reason to stop apt: the snapshot is there.
	err = os.MkdirAll(filepath.Dir(guardStamp), 0o755)
	if err == nil {
		err = os.WriteFile(guardStamp, []byte(run), 0o644)
	}
	if err != nil {
		app.Log.WithError(err).Warn("cannot note that a safety snapshot was taken: this run of apt may take more")
	}
	return nil
}

// hookInput reads what apt says, on the descriptor that it names.
func hookInput() (redirect.HookInput, error) {
	fd := 0
	if name := os.Getenv("APT_HOOK_INFO_FD"); name != "" {
		var err error
		if fd, err = strconv.Atoi(name); err != nil {
			return redirect.HookInput{}, fmt.Errorf("cannot read apt's hook protocol: APT_HOOK_INFO_FD is %q", name)
		}
	}
	f := os.NewFile(uintptr(fd), "hook")
	defer f.Close()
	return redirect.ReadHookInput(f)
}

// aptRun identifies the run of apt that calls: unattended-upgrades calls hooks
// twice, and for each of its steps from another child, but one process holds the
// frontend lock all the while. "" if that is not to be seen.
func aptRun() string {
	for pid := os.Getppid(); pid > 1; {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return ""
		}
		// The command, in parentheses, may hold blanks.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) < 20 {
			return ""
		}
		if holdsFrontendLock(pid) {
			return fmt.Sprintf("%d %s", pid, fields[19]) // and its start time
		}
		if pid, err = strconv.Atoi(fields[1]); err != nil {
			return ""
		}
	}
	return ""
}

// holdsFrontendLock says whether a process has dpkg's frontend lock. Opening
// the file to ask the kernel would do no harm here, but fcntl(2) names only a
// process that this one may see; /proc/locks has them all.
func holdsFrontendLock(pid int) bool {
	info, err := os.Stat("/var/lib/dpkg/lock-frontend")
	if err != nil {
		return false
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false
	}
	inode := fmt.Sprintf(":%d", inodeOf(info))
	for _, line := range strings.Split(string(locks), "\n") {
		fields := strings.Fields(line) // 1: POSIX ADVISORY WRITE 4711 00:21:257 0 EOF
		if len(fields) >= 6 && fields[1] == "POSIX" && fields[4] == strconv.Itoa(pid) && strings.HasSuffix(fields[5], inode) {
			return true
		}
	}
	return false
}

func (app *App) safetySnapshot(ctx context.Context, reg *be.Registry, leaveOut []string) (be.Env, error) {
	origin, err := reg.Running()
	if err != nil {
		return be.Env{}, err
	}
	build, err := app.begin(ctx, reg, be.BuildOptions{Origin: origin, Made: be.Guard, LeaveOut: leaveOut})
	if err != nil {
		return be.Env{}, err
	}
	if err := redirect.SetRoot(reg.Store().Path(build.Path), be.EnvDir+"/"+build.Name); err != nil {
		return be.Env{}, errors.Join(err, build.Discard(ctx))
	}
	e, err := build.Commit(ctx, be.Ready, func(r *be.Record) {
		r.Title, r.Kernels = origin.Record.Title, origin.Record.Kernels
		r.Reason = "taken before packages of the running system were upgraded"
	})
	if err != nil {
		return be.Env{}, err
	}
	if err := app.dropGuards(ctx, reg, e.Name); err != nil {
		app.Log.WithError(err).Warn("cannot remove older safety snapshots")
	}
	return e, nil
}

// dropGuards destroys all but the newest safety snapshots, of which one has
// just been made: times in records are of whole seconds, and don't tell.
func (app *App) dropGuards(ctx context.Context, reg *be.Registry, made string) error {
	release, err := app.lock(ctx, reg)
	if err != nil {
		return err
	}
	defer release()
	envs, err := reg.List()
	if err != nil {
		return err
	}
	kept := 1
	for i := len(envs) - 1; i >= 0; i-- {
		e := envs[i]
		if e.Record.Made != be.Guard || e.Record.Kept || e.Name == made {
			continue
		}
		if kept++; kept <= guardsKept {
			continue
		}
		if be.CheckDestroy(envs, e.Name, app.inUse(reg)) == nil {
			if err := reg.Destroy(ctx, e); err != nil {
				return err
			}
		}
	}
	return nil
}

func inodeOf(info os.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }
