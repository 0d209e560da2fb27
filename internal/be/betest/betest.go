// Package betest is the fixture of tests that need a registry: a machine on the
// fake store that runs from the subvolume @rootfs.
package betest

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/be"
	"github.com/apt-be/apt-be/internal/store/fake"
)

// Machine is a machine that runs from @rootfs.
type Machine struct {
	*testing.T
	Dir   string // of the store
	Store *fake.Store
}

// New returns a machine whose root is empty. It is deleted with the test.
func New(t *testing.T) *Machine {
	t.Helper()
	m := &Machine{T: t, Dir: t.TempDir()}
	var err error
	m.Store, err = fake.New(m.Dir)
	Check(t, err)
	Check(t, m.Store.Create("@rootfs"))
	Check(t, m.Store.SetRunning("@rootfs"))
	return m
}

// Check fails the test if err is not nil.
func Check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Write writes a file, by its path in the store, and makes the directories above
// it.
func (m *Machine) Write(path, content string) {
	m.Helper()
	Check(m.T, os.MkdirAll(filepath.Dir(m.Store.Path(path)), 0o755))
	Check(m.T, os.WriteFile(m.Store.Path(path), []byte(content), 0o644))
}

// Get returns an environment by its name.
func Get(t testing.TB, reg *be.Registry, name string) be.Env {
	t.Helper()
	e, err := reg.Get(name)
	Check(t, err)
	return e
}

// Options returns the options of a build from the running environment by a user.
func Options(t testing.TB, reg *be.Registry, name string) be.BuildOptions {
	t.Helper()
	running, err := reg.Running()
	Check(t, err)
	return be.BuildOptions{Name: name, Origin: running, CreatedBy: be.User, Command: []string{"apt-be", "create", name}}
}

// Begin begins a build. The test fails if that recovers a transaction.
func Begin(t testing.TB, reg *be.Registry, options be.BuildOptions) *be.Build {
	t.Helper()
	build, recovered, err := reg.Begin(context.Background(), options)
	Check(t, err)
	if len(recovered) > 0 {
		t.Errorf("Begin recovered %+v, want nothing", recovered)
	}
	return build
}

// Create makes an environment that is ready, and applies edit to its record.
func Create(t testing.TB, reg *be.Registry, name string, edit func(*be.Record)) be.Env {
	t.Helper()
	e, err := Begin(t, reg, Options(t, reg, name)).Commit(context.Background(), be.Ready, edit)
	Check(t, err)
	return e
}

// Locked calls do with the registry's lock held.
func Locked(reg *be.Registry, do func() error) error {
	release, err := reg.Lock(context.Background())
	if err != nil {
		return err
	}
	defer release()
	return do()
}

// Recover does the recovery of the next command, and returns the number of
// transactions that it ended. Each failure fails the test.
func Recover(t testing.TB, reg *be.Registry) (ended int) {
	t.Helper()
	Check(t, Locked(reg, func() error {
		recovered, err := reg.Recover(context.Background())
		for _, r := range recovered {
			if r.Err != nil {
				t.Errorf("Recover of %s: %v", r.Title, r.Err)
			}
		}
		ended = len(recovered)
		return err
	}))
	return ended
}
