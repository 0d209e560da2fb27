package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/activation"
	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/boot/boottest"
	"github.com/apt-be/apt-be/internal/host"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// fixture is apt-be on a fake machine with a system in @rootfs.
type fixture struct {
	*testing.T
	app    *App
	store  *fake.Store
	loader *boottest.Loader
	root   string // the running root
	log    bytes.Buffer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	st, err := fake.New(t.TempDir())
	must(t, err)
	f := &fixture{T: t, store: st, root: t.TempDir(), loader: &boottest.Loader{Dir: t.TempDir()}}
	must(t, st.Create("@rootfs"))
	must(t, st.SetRunning("@rootfs"))
	f.write("@rootfs/etc/os-release", "PRETTY_NAME=Debian\n")
	f.write("@rootfs/boot/vmlinuz-6.1.0", "old kernel")
	f.write("@rootfs/boot/initrd.img-6.1.0", "old initrd")
	f.write("@rootfs/lib/modules/6.1.0/modules.dep", "")
	f.write("@rootfs/var/lib/dpkg/status", status("a", "1")+status("b", "1"))
	log := logrus.New()
	log.SetOutput(&f.log)
	f.app = &App{
		Stdout: &bytes.Buffer{}, Stderr: &bytes.Buffer{}, Log: log,
		OpenStore:  func(string) (store.Store, error) { return st, nil },
		Mounted:    func(store.Store, be.Env) []string { return nil },
		LockDpkg:   func(string) (func(), error) { return func() {}, nil },
		ReadConfig: func(context.Context, aptconf.Query) (aptconf.Config, error) { return aptconf.Config{}, nil },
		Patience:   time.Second,
		Attach: func(reg *be.Registry, _ string) (*activation.Activator, error) {
			return host.AttachLoader(reg, f.loader)
		},
		Arming: func(_ context.Context, method be.Method, deadline time.Duration) (activation.ArmOptions, error) {
			return activation.ArmOptions{Method: method, Deadline: deadline}, nil
		},
	}
	f.app.options.Root = f.root
	reg := f.registry()
	running, err := reg.Running()
	must(t, err)
	must(t, os.MkdirAll(st.Path(be.HomeDir), 0o755))
	act, err := f.app.activator()
	must(t, err)
	must(t, act.SetDefault(running))
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// status returns the stanza of an installed package.
func status(name, version string) string {
	return "Package: " + name + "\nStatus: install ok installed\nArchitecture: all\nVersion: " + version + "\n\n"
}

func (f *fixture) write(path, content string) {
	f.Helper()
	must(f.T, os.MkdirAll(filepath.Dir(f.store.Path(path)), 0o755))
	must(f.T, os.WriteFile(f.store.Path(path), []byte(content), 0o644))
}

// run runs a command line, and checks its exit status.
func (f *fixture) run(status int, args ...string) {
	f.Helper()
	if got := Main(context.Background(), f.app, append([]string{"--root", f.root}, args...)); got.Code != status {
		f.Fatalf("apt-be %q = %d, want %d\n%s", args, got.Code, status, f.app.Stderr)
	}
}

func (f *fixture) registry() *be.Registry {
	f.Helper()
	reg, _, err := f.app.registry()
	must(f.T, err)
	return reg
}

func (f *fixture) get(name string) be.Env {
	f.Helper()
	e, err := f.registry().Get(name)
	must(f.T, err)
	return e
}

// change edits a record.
func (f *fixture) change(name string, edit func(*be.Record)) {
	f.Helper()
	must(f.T, f.registry().Change(f.get(name), edit))
}
