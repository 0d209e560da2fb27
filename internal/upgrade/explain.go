package upgrade

import (
	"context"
	"os"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/pkgdb"
)

// Explanation describes the effect of a command line of a frontend.
type Explanation struct {
	Redirect bool              `json:"redirect"` // it would run in a new boot environment
	Reason   string            `json:"reason"`   // the rule behind the decision, as a sentence
	Settings []aptconf.Setting `json:"settings"` // the items of apt's configuration that the rule reads
	// Obstacles would stop the upgrade.
	Obstacles []string `json:"obstacles"`
}

// Explain explains what Run would do with a command line. It changes nothing.
func (w *Wrapper) Explain(ctx context.Context, f frontend.Frontend, argv []string) Explanation {
	inv := frontend.Parse(f, argv[1:], os.Environ()...)
	c, err := w.consider(ctx, inv)
	x := Explanation{Redirect: c.decision.Redirect, Reason: c.decision.Reason, Settings: []aptconf.Setting{}, Obstacles: []string{}}
	for _, name := range c.decision.Settings {
		x.Settings = append(x.Settings, c.conf.Setting(name))
	}
	if err != nil {
		x.Redirect, x.Reason = false, "the configuration or the root cannot be examined"
		if inv.Upgrade {
			x.Obstacles = append(x.Obstacles, err.Error())
		}
	}
	if c.upgrader == nil {
		return x
	}
	defer c.upgrader.Registry.Store().Close()
	if x.Redirect {
		x.Obstacles = append(x.Obstacles, c.upgrader.obstacles()...)
	}
	return x
}

// obstacles returns the reasons for which an upgrade would stop before it runs the
// frontend. It takes no locks, so another program may still hold dpkg's.
func (u *Upgrader) obstacles() (found []string) {
	note := func(err error) {
		if err != nil {
			found = append(found, err.Error())
		}
	}
	note(u.Registry.CheckReadable())
	note(u.checkFree())
	_, err := pkgdb.Read(u.Root)
	note(err)
	origin, err := u.Registry.Running()
	note(err)
	if err == nil && u.Boot != nil {
		note(u.Boot.CheckSpace(origin))
	}
	silent, err := u.Launcher.Look()
	note(err)
	for _, mount := range silent {
		files, err := pkgdb.FilesBelow(u.Root, []string{mount.Dir}, nil)
		note(err)
		if len(files) > 0 {
			note(&UnresponsiveError{mount, files[0].Path})
		}
	}
	return found
}
