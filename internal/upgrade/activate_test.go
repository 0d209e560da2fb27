package upgrade

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/catchup"
	"github.com/apt-be/apt-be/internal/store/fake"
	"github.com/apt-be/apt-be/internal/ui"
)

// fakeBoot is a boot loader that records the trials.
type fakeBoot struct {
	tried []string
	err   error
}

func (b *fakeBoot) CheckSpace(be.Env) error { return nil }
func (b *fakeBoot) Refresh() error          { return nil }

// fakeCatchup finds one changed file, and returns an error.
type fakeCatchup struct{ err error }

func (c fakeCatchup) Preview(be.Env) (string, error) { return "files: 1 carried", c.err }

func (c fakeCatchup) SyncEnv(context.Context, be.Env, catchup.Options) error { return c.err }

func (b *fakeBoot) Try(_ context.Context, e be.Env, _ time.Duration) error {
	b.tried = append(b.tried, e.Name)
	return b.err
}

// The next boot tries the result of an upgrade, unless the administrator must decide
// something first.
func TestActivate(t *testing.T) {
	for name, tt := range map[string]struct {
		without, waits, failed, seen bool
		err, drift                   error
		tried                        bool
		says                         string
	}{
		"tried":           {tried: true, says: "until now, files: 1 carried."},
		"not set up":      {without: true, says: "To boot new, run `apt-be init` once"},
		"not wanted":      {waits: true, says: "To boot new, run `apt-be activate new`, and reboot"},
		"a fallback":      {failed: true, says: "because the machine fell back from old"},
		"one that is old": {failed: true, seen: true, tried: true, says: "The next boot tries new and falls back if it is unhealthy"},
		"a decision":      {drift: errors.New("both changed it"), says: "you must decide about conflicting changes: `apt-be drift new`"},
		"not possible":    {err: errors.New("no space"), tried: true, says: "stays the default. To boot new, run `apt-be activate new`"},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := fake.New(t.TempDir())
			if err == nil {
				err = errors.Join(st.Create("@rootfs"), st.SetRunning("@rootfs"))
			}
			if err != nil {
				t.Fatal(err)
			}
			identify := func(string) (be.Identity, error) {
				return be.Identity{Title: "Debian", Kernels: []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}}}, nil
			}
			reg := be.NewRegistry(st, "/", identify)
			made := map[string]be.Env{}
			for _, name := range []string{"old", "new"} {
				origin, err := reg.Running()
				if err != nil {
					t.Fatal(err)
				}
				build, _, err := reg.Begin(context.Background(), be.BuildOptions{Name: name, Origin: origin, CreatedBy: be.Redirect})
				if err != nil {
					t.Fatal(err)
				}
				made[name], err = build.Commit(context.Background(), be.Ready, func(r *be.Record) {
					r.Kernels = []be.Kernel{{Version: "6.1", Image: "boot/vmlinuz", Initrd: "boot/initrd"}}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			if tt.failed {
				if err := reg.Change(made["old"], func(r *be.Record) { r.State, r.Acknowledged = be.FellBack, tt.seen }); err != nil {
					t.Fatal(err)
				}
			}
			var said bytes.Buffer
			log := logrus.New()
			log.SetOutput(io.Discard)
			loader := &fakeBoot{err: tt.err}
			u := &Upgrader{Registry: reg, Notice: ui.NewNotice(&said, false), Log: log, Catchup: fakeCatchup{tt.drift}}
			if !tt.without {
				u.Boot = loader
			}
			r := &run{Upgrader: u, job: Job{Activate: !tt.waits}}
			r.activate(context.Background(), made["new"])
			if tried := len(loader.tried) > 0; tried != tt.tried {
				t.Errorf("tried %q", loader.tried)
			}
			if text := strings.Join(strings.Fields(strings.ReplaceAll(said.String(), "apt-be: ", "")), " "); !strings.Contains(text, tt.says) {
				t.Errorf("it said %q, want %q", text, tt.says)
			}
		})
	}
}
