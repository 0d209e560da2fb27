package upgrade

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/inside"
)

// Wrapper is apt-be under the name of a frontend.
type Wrapper struct {
	Facts frontend.Env // about this process and its root
	// Open opens the environments of the running system. The root is not btrfs if the
	// error is store.ErrUnsupported.
	Open func() (*Upgrader, error)
	// Warn prints a warning that does not stop the command, each at most once a day.
	Warn func(why error)
	Log  logrus.FieldLogger
}

// Run decides about a command line and carries out the decision. It returns only if the
// frontend ran in a boot environment, or if nothing could be run.
func (w *Wrapper) Run(ctx context.Context, f frontend.Frontend, argv []string) (inside.Exit, error) {
	inv := frontend.Parse(f, argv[1:], os.Environ()...)
	c, err := w.consider(ctx, inv)
	if err != nil {
		w.Log.WithField("command", argv).Debugf("no decision: %v", err)
		return w.undecided(inv, argv, err)
	}
	if c.upgrader != nil {
		defer c.upgrader.Registry.Store().Close()
	}
	w.Log.WithFields(logrus.Fields{"command": argv, "redirect": c.decision.Redirect}).Debug(c.decision.Reason)
	if c.decision.Warn != nil {
		w.Warn(c.decision.Warn)
	}
	if !c.decision.Redirect {
		return w.passThrough(f, argv)
	}
	job, err := JobOf(inv, argv, c.conf, be.Redirect)
	if err != nil {
		return w.undecided(inv, argv, err)
	}
	exit, err := c.upgrader.Upgrade(ctx, job)
	if err != nil {
		exit = inside.Exit{Code: f.FailureCode()}
	}
	return exit, err
}

// considered is a decision with the inputs that it needed.
type considered struct {
	decision frontend.Decision
	conf     aptconf.Config
	upgrader *Upgrader // nil if the decision did not need the store
}

// consider decides about an invocation. It reads the configuration and the root only if
// the decision depends on them: they may be unreadable.
func (w *Wrapper) consider(ctx context.Context, inv frontend.Invocation) (c considered, err error) {
	if !frontend.NeedsConfig(inv, w.Facts) {
		c.decision, err = frontend.Decide(inv, aptconf.Config{}, w.Facts)
		return c, err
	}
	if unlisted(inv) {
		c.decision.Reason = inv.Verb + " is not redirected by the default policy"
		return c, nil
	}
	if c.conf, err = readConfig(ctx, inv); err != nil {
		return c, err
	}
	if c.decision, err = frontend.Decide(inv, c.conf, w.Facts); err != nil || !c.decision.Redirect {
		return c, err
	}
	state, upgrader, err := w.examineRoot()
	c.upgrader, c.decision = upgrader, c.decision.OnRoot(state)
	return c, err
}

// unlisted reports, without running apt, that the default policy does not redirect a
// command such as install. Such a command should not wait for apt.
func unlisted(inv frontend.Invocation) bool {
	return !inv.Upgrade && inv.Problem == "" && len(inv.ConfigArgs) == 0 && os.Getenv("APT_CONFIG") == "" &&
		aptconf.OnlyShipped("/etc/apt")
}

// readConfig reads the configuration that the frontend will have.
func readConfig(ctx context.Context, inv frontend.Invocation) (aptconf.Config, error) {
	files := inv.ConfigFiles(os.Getenv("APT_CONFIG"))
	for _, file := range files {
		// A pipe can be read only once, and apt has to read it.
		if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
			return aptconf.Config{}, fmt.Errorf("cannot read apt's configuration: %s is not a regular file", file)
		}
	}
	q := aptconf.Query{Args: inv.ConfigArgs, Env: os.Environ()}
	if inv.Frontend == frontend.AptGet || inv.Frontend == frontend.Apt {
		q.Program = inv.Frontend.String() // the other frontends read no Binary:: scope
	}
	return aptconf.Read(ctx, q)
}

// undecided handles an error in the decision: it stops an upgrade, and passes other
// commands through, so that the administrator can repair the machine.
func (w *Wrapper) undecided(inv frontend.Invocation, argv []string, why error) (inside.Exit, error) {
	var alias *frontend.AliasError
	if inv.Upgrade || errors.As(why, &alias) {
		return inside.Exit{Code: inv.Frontend.FailureCode()}, why
	}
	w.Warn(why)
	return w.passThrough(inv.Frontend, argv)
}

func (w *Wrapper) passThrough(f frontend.Frontend, argv []string) (inside.Exit, error) {
	return inside.Exit{Code: 127}, inside.Exec(f, argv)
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
