package redirect

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/parts"
	"github.com/apt-be/apt-be/internal/store"
)

// Wrapper is apt-be under the name of a frontend.
type Wrapper struct {
	// OpenStore opens the store that contains a directory.
	OpenStore func(dir string) (store.Store, error)
	// Supervise returns the supervisor for the environments of a store.
	Supervise func(st store.Store) *Supervisor
	// Warn prints a warning that does not stop the command, each at most once a day.
	Warn func(why error)
}

// Run decides about a command line and carries out the decision. It returns only if the
// frontend ran in a boot environment, or if nothing could be run.
func (w *Wrapper) Run(ctx context.Context, f Frontend, argv []string) (Exit, error) {
	inv := Parse(f, argv[1:], os.Environ()...)
	m := hostEnv()
	if !NeedsConfig(inv, m) || unlisted(inv) {
		return w.passThrough(f, argv)
	}
	conf, err := readConfig(ctx, inv)
	if err != nil {
		return w.undecided(inv, argv, err)
	}
	// If the policy passes the command through, the store may be unreadable.
	decision, err := Decide(inv, conf, m)
	if err != nil {
		return w.undecided(inv, argv, err)
	}
	var st store.Store
	if decision.Redirect {
		m.Store, st, err = w.examineRoot()
		if err != nil {
			return w.undecided(inv, argv, err)
		}
		if st != nil {
			defer st.Close()
		}
		if decision, err = Decide(inv, conf, m); err != nil {
			return w.undecided(inv, argv, err)
		}
	}
	if decision.Warn != nil {
		w.Warn(decision.Warn)
	}
	if !decision.Redirect {
		return w.passThrough(f, argv)
	}
	policy, err := conf.Policy()
	if err != nil {
		return w.undecided(inv, argv, err)
	}
	exit, err := w.Supervise(st).Upgrade(ctx, Job{
		Frontend:     f,
		Argv:         argv,
		Made:         be.Redirect,
		LockTimeout:  lockTimeout(f, conf),
		LeaveOut:     conf.List("Apt-Be::Nested::Leave-Out"),
		AllowOutside: conf.List(parts.AllowOutside),
		Reads:        ReadsOf(inv, conf),
		Settings:     SettingsOf(inv),
		Activate:     policy.Activate,
		Deadline:     policy.Deadline,
		Speed:        policy.Speed,
		Reboot:       rebootPolicy(f, conf),
	})
	if err != nil {
		exit = Exit{Code: f.failureCode()}
	}
	return exit, err
}

// unlisted reports, without running apt, that the default policy does not redirect a
// command such as install. Such a command should not wait for apt.
func unlisted(inv Invocation) bool {
	return !inv.Upgrade && inv.Problem == "" && len(inv.ConfigArgs) == 0 && os.Getenv("APT_CONFIG") == "" &&
		aptconf.OnlyShipped("/etc/apt")
}

// readConfig reads the configuration that the frontend will have.
func readConfig(ctx context.Context, inv Invocation) (aptconf.Config, error) {
	files := configFiles(inv, os.Getenv("APT_CONFIG"))
	for _, file := range files {
		// A pipe can be read only once, and apt has to read it.
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			return aptconf.Config{}, fmt.Errorf("cannot read apt's configuration: %s is not a regular file", file)
		}
	}
	q := aptconf.Query{Args: inv.ConfigArgs, Env: os.Environ()}
	if inv.Frontend == AptGet || inv.Frontend == Apt {
		q.Program = inv.Frontend.String() // the other frontends read no Binary:: scope
	}
	return aptconf.Read(ctx, q)
}

// configFiles returns the configuration files that an invocation names.
func configFiles(inv Invocation, aptConfig string) []string {
	var files []string
	if aptConfig != "" {
		files = append(files, aptConfig)
	}
	for _, arg := range inv.ConfigArgs {
		if file, ok := strings.CutPrefix(arg, "--config-file="); ok {
			files = append(files, file)
		}
	}
	return files
}

// undecided handles an error in the decision: it stops an upgrade, and passes other
// commands through, so that the administrator can repair the machine.
func (w *Wrapper) undecided(inv Invocation, argv []string, why error) (Exit, error) {
	var alias *AliasError
	if inv.Upgrade || errors.As(why, &alias) {
		return Exit{Code: inv.Frontend.failureCode()}, why
	}
	w.Warn(why)
	return w.passThrough(inv.Frontend, argv)
}

func (w *Wrapper) passThrough(f Frontend, argv []string) (Exit, error) {
	return Exit{Code: 127}, f.Exec(argv)
}

// topLevelID is the ID of btrfs's top-level subvolume (btrfs-subvolume(8)).
const topLevelID = 5

// examineRoot reports whether the running root can be snapshotted. It returns a nil
// store if there is none.
func (w *Wrapper) examineRoot() (StoreState, store.Store, error) {
	if err := CheckWritable(); err != nil {
		return NotBtrfs, nil, fmt.Errorf("cannot upgrade: %w", err)
	}
	st, err := w.OpenStore("/")
	if errors.Is(err, store.ErrUnsupported) {
		return NotBtrfs, nil, nil
	}
	if err != nil {
		return NotBtrfs, nil, err
	}
	state, err := RootState(w.Supervise(st).Registry)
	if err != nil {
		st.Close()
		return NotBtrfs, nil, err
	}
	return state, st, nil
}

// RootState reports whether the running root, which a registry contains, can be
// snapshotted as a whole.
func RootState(reg *be.Registry) (StoreState, error) {
	st := reg.Store()
	root, err := st.Locate("/")
	if err != nil {
		return NotBtrfs, err
	}
	if root.ID == topLevelID {
		return TopLevel, nil
	}
	dpkg, err := st.Locate("/var/lib/dpkg")
	if errors.Is(err, store.ErrUnsupported) {
		return DpkgElsewhere, nil
	}
	nested := strings.HasPrefix(root.Path+"/var/lib/dpkg/", dpkg.Path+"/")
	if err != nil || dpkg.ID == root.ID || nested {
		return RootOK, err
	}
	running, err := reg.Running()
	if err != nil {
		return NotBtrfs, err
	}
	own, err := parts.Of(reg, running)
	if !slices.ContainsFunc(own, func(part be.Part) bool { return part.Subvolume == dpkg.Path }) {
		return DpkgElsewhere, err
	}
	return RootOK, err
}

// lockTimeout returns how long a frontend waits for dpkg's locks; negative means for
// ever. apt waits by default, the others do not (apt-private/private-cmndline.cc).
func lockTimeout(f Frontend, conf aptconf.Config) time.Duration {
	timeout := 0
	if f == Apt {
		timeout = 120
		if isTerminal(os.Stdout) {
			timeout = -1
		}
	}
	return time.Duration(conf.Int("DPkg::Lock::Timeout", timeout)) * time.Second
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// OnceADay returns a Warn function that records in dir which warnings it printed. If it
// cannot record a warning, it prints it again next time.
func OnceADay(dir string, say func(why error)) func(why error) {
	return func(why error) {
		text := why.Error()
		stamp := filepath.Join(dir, fmt.Sprintf("warned-%x", sha256.Sum256([]byte(text))))
		if info, err := os.Lstat(stamp); err == nil {
			// The clock may have been set back since.
			if age := time.Since(info.ModTime()); age >= 0 && age < 24*time.Hour {
				return
			}
		}
		say(why)
		if err := os.MkdirAll(dir, 0o755); err == nil {
			_ = os.WriteFile(stamp, []byte(text+"\n"), 0o644)
		}
	}
}
