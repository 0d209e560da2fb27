package be

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// Identity is the description that a root file system contains of itself.
type Identity struct {
	Title   string
	Kernels []Kernel
}

// Registry manages the boot environments of a file system.
type Registry struct {
	store    store.Store
	root     string
	identify func(root string) (Identity, error)
	journal  *txn.Journal

	// Loader asks the boot loader for the name of the default environment, and for the
	// nonce of the trial that is armed, or will be armed at shutdown. Nil if apt-be
	// init was not run.
	Loader func() (defaultName, armedNonce string, err error)
	// Mounted returns the mount points of a subvolume. Recovery deletes no mounted
	// subvolume. Nil if no subvolume can be mounted.
	Mounted func(subvolume string) ([]string, error)
	// LoaderErr is the reason why Loader is nil although apt-be init was run. The
	// default is unknown then, so no environment is destroyed.
	LoaderErr error
}

// NewRegistry returns the registry of the environments in st. root is the directory at
// which the running environment is mounted, "/" except for tests and images. identify
// reads the identity of the root file system at a directory.
func NewRegistry(st store.Store, root string, identify func(root string) (Identity, error)) *Registry {
	r := &Registry{store: st, root: root, identify: identify}
	r.journal = &txn.Journal{Dir: st.Path(HomeDir + "/journal"), Handlers: r.handlers()}
	return r
}

// Handle adds kinds of steps, which a higher package defines, to those that recovery
// can undo.
func (r *Registry) Handle(handlers txn.Handlers) { maps.Copy(r.journal.Handlers, handlers) }

// Transaction begins a transaction of the kinds of steps that Handle has added. The
// caller holds the Lock.
func (r *Registry) Transaction(title string) (*txn.Txn, error) { return r.journal.Begin(title) }

// Building returns the names of environments under construction. The caller holds the
// Lock and has recovered.
func (r *Registry) Building() ([]string, error) {
	records, err := r.records()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, record := range records {
		if record.State == Creating {
			names = append(names, record.TargetName)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Dir returns the directory at which an environment is visible with its parts. The
// parts of an original root that does not run are not visible there.
func (r *Registry) Dir(e Env) string {
	dir := r.store.Path(e.Subvolume.Path)
	if !e.Running {
		return dir
	}
	here, err := os.Stat(r.root)
	if err != nil {
		return dir
	}
	if there, err := os.Stat(dir); err != nil || !os.SameFile(here, there) {
		return dir // in an image, or in a test
	}
	return r.root
}

// Store returns the store of the environments.
func (r *Registry) Store() store.Store { return r.store }

// Lock makes this process the only writer. It returns a *txn.HeldError if ctx ends
// first. The caller calls release after the change.
func (r *Registry) Lock(ctx context.Context) (release func(), err error) {
	if err := r.ensureHome(); err != nil {
		return nil, err
	}
	lock, err := txn.TakeLock(ctx, r.store.Path(HomeDir+"/lock"))
	if err != nil {
		return nil, fmt.Errorf("cannot change the boot environments: %w", err)
	}
	return lock.Release, nil
}

// Use marks an environment as in use by this process until the lock is released. Other
// processes can then neither work in it nor destroy it. Use waits for the Lock until
// ctx ends, but not for another user of the environment, because that may take days.
func (r *Registry) Use(ctx context.Context, e Env) (*txn.Lock, error) {
	release, err := r.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if here, err := r.isAt(e.Subvolume.Path, e.Subvolume.UUID); err != nil {
		return nil, err
	} else if !here {
		return nil, fmt.Errorf("%w: %s was deleted meanwhile", ErrNotFound, e.Name)
	}
	if err := r.adopt(e); err != nil {
		return nil, err
	}
	now, cancel := context.WithCancel(ctx)
	cancel()
	return txn.TakeLock(now, r.usePath(e))
}

// InUse reports whether a process works in an environment.
func (r *Registry) InUse(e Env) bool {
	if _, err := os.Lstat(r.usePath(e)); err != nil {
		return false
	}
	done, cancel := context.WithCancel(context.Background())
	cancel()
	lock, err := txn.TakeLock(done, r.usePath(e))
	if err != nil {
		return true
	}
	lock.Release()
	return false
}

func (r *Registry) usePath(e Env) string {
	return r.store.Path(HomeDir + "/use/" + e.Subvolume.UUID)
}

// ensureHome creates the subvolume of the registry.
func (r *Registry) ensureHome() error {
	if err := r.store.Create(HomeDir); err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("cannot create the registry: %w", err)
	}
	return nil
}

// List returns all boot environments, oldest first, without those under construction.
// It needs no lock: an environment that is renamed or destroyed at the same time may be
// missing. It fails if the store or the registry cannot be read. An environment with an
// unreadable record is returned in the state Unreadable.
func (r *Registry) List() ([]Env, error) {
	c, err := r.contents()
	if err != nil {
		return nil, err
	}
	subvolumes, err := r.store.List(EnvDir)
	if err != nil {
		return nil, fmt.Errorf("cannot list boot environments: %w", err)
	}
	running, err := r.store.Locate(r.root)
	if err != nil {
		return nil, fmt.Errorf("cannot find the running boot environment: %w", err)
	}
	boot, uncertain := r.Boot()
	if uncertain == nil || errors.Is(uncertain, ErrNotSetUp) {
		uncertain = r.LoaderErr
	}
	known := map[string]bool{}
	var envs []Env
	add := func(sub store.Subvolume) {
		if known[sub.UUID] || strings.HasPrefix(path.Base(sub.Path), newPrefix) {
			return
		}
		known[sub.UUID] = true
		e := Env{Name: nameOf(sub.Path), Subvolume: sub, Running: sub.ID == running.ID, Origin: sub.Path == boot.Origin}
		var ok bool
		if e.Record, ok = c.records[sub.UUID]; !ok {
			e.Record = r.describe(sub, e.Running)
			if e.Unreadable = c.bad[sub.UUID]; e.Unreadable != nil {
				e.Unreadable.isOf(e.Name, e.Running)
				e.Record.State, e.Record.Reason = Unreadable, e.Unreadable.Error()
			}
		} else if e.Running { // its identity changes while it runs
			if id, err := r.identify(r.Dir(e)); err == nil {
				e.Record.Title, e.Record.Kernels = id.Title, id.Kernels
			}
		}
		envs = append(envs, e)
	}
	for _, sub := range subvolumes {
		add(sub)
	}
	for _, record := range c.records {
		if record.Path == "" {
			continue
		}
		sub, err := r.store.Get(record.Path)
		if err != nil && !gone(err) {
			return nil, fmt.Errorf("cannot list boot environments: %w", err)
		}
		if err == nil && sub.UUID == record.UUID {
			add(sub)
		}
	}
	add(running)
	if err := r.addUnreadable(c, add, known); err != nil {
		return nil, err
	}
	byAge(envs)
	if uncertain == nil {
		var defaultName, armedNonce string
		if r.Loader != nil {
			defaultName, armedNonce, uncertain = r.Loader()
		}
		if uncertain == nil {
			setNext(envs, defaultName, armedNonce)
		}
	}
	for i := range envs {
		envs[i].DefaultErr = uncertain
	}
	return envs, nil
}

// addUnreadable adds environments outside of EnvDir whose records cannot be read, and
// so do not name the subvolume.
func (r *Registry) addUnreadable(c contents, add func(store.Subvolume), known map[string]bool) error {
	for uuid := range c.bad {
		if known[uuid] {
			continue
		}
		found, err := r.found()
		if err != nil {
			return fmt.Errorf("cannot list boot environments: %w", err)
		}
		for uuid := range c.bad {
			sub, ok := found[uuid]
			if ok && !strings.HasPrefix(sub.Path, BaseDir+"/") && !strings.HasPrefix(sub.Path, ShareSnapshotDir+"/") {
				add(sub)
			}
		}
		break
	}
	return nil
}

// Get returns the environment called name, or an ErrNotFound. It needs no lock and
// fails like List.
func (r *Registry) Get(name string) (Env, error) {
	return r.find(name, func(e Env) bool { return e.Name == name })
}

// Running returns the running environment, or an ErrNotFound if the running root is not
// one. It needs no lock and fails like List.
func (r *Registry) Running() (Env, error) {
	return r.find("the running one", func(e Env) bool { return e.Running })
}

func (r *Registry) find(what string, match func(Env) bool) (Env, error) {
	envs, err := r.List()
	if err != nil {
		return Env{}, err
	}
	for _, e := range envs {
		if match(e) {
			return e, nil
		}
	}
	return Env{}, fmt.Errorf("cannot find %s: %w", what, ErrNotFound)
}

// describe makes a record for a subvolume without one: a root that existed before
// apt-be, or a subvolume that a user made.
func (r *Registry) describe(sub store.Subvolume, running bool) Record {
	record := Record{Schema: RecordSchema, UUID: sub.UUID, State: Ready, CreatedBy: User, Created: sub.Created}
	if running {
		record.State, record.CreatedBy = Blessed, Installer
	}
	if !strings.HasPrefix(sub.Path, EnvDir+"/") {
		record.Path, record.CreatedBy = sub.Path, Installer
	}
	if id, err := r.identify(r.Dir(Env{Subvolume: sub, Running: running})); err == nil {
		record.Title, record.Kernels = id.Title, id.Kernels
	}
	return record
}

// Identify reads the identity of an environment's root file system again. The caller
// stores the returned record with Change. It needs no lock. It fails if a file of the
// root that identifies the system cannot be read.
func (r *Registry) Identify(e Env) (Env, error) {
	id, err := r.identify(r.Dir(e))
	if errors.Is(err, fs.ErrNotExist) && e.Original() && !e.Running && e.Record.Title != "" {
		// Its /usr is a separate subvolume that only this root mounts. The recorded
		// identity is from the time when it ran, and it has not changed since.
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("cannot identify the system in %s: %w", e.Name, err)
	}
	e.Record.Title, e.Record.Kernels = id.Title, id.Kernels
	return e, nil
}

// Note stores the identity that Identify, or List for the running environment, has
// read. It is used while another environment runs. The caller holds the Lock.
func (r *Registry) Note(e Env) error {
	c, err := r.contents()
	if err != nil {
		return err
	}
	if c.bad[e.Subvolume.UUID] != nil {
		return nil // the registry does not exist
	}
	old, ok := c.records[e.Subvolume.UUID]
	if ok && old.Title == e.Record.Title && slices.Equal(old.Kernels, e.Record.Kernels) {
		return nil
	}
	return r.Change(e, func(r *Record) { r.Title, r.Kernels = e.Record.Title, e.Record.Kernels })
}

// Change edits the current record of an environment. The caller holds the Lock.
func (r *Registry) Change(e Env, edit func(*Record)) error {
	c, err := r.contents()
	if err != nil {
		return err
	}
	if bad := c.bad[e.Subvolume.UUID]; bad != nil {
		return fmt.Errorf("cannot change the record of %s: %w", e.Name, bad)
	}
	record, ok := c.records[e.Subvolume.UUID]
	if !ok {
		record = e.Record
	}
	edit(&record)
	return r.save(record)
}

func (r *Registry) recordPath(uuid string) string {
	return r.store.Path(HomeDir + "/be/" + uuid + ".json")
}

func (r *Registry) save(record Record) error { return r.write(record, durable.WriteFile) }

// write writes a record by WriteFile or WriteFileLater.
func (r *Registry) write(record Record, put func(file string, data []byte, mode os.FileMode) error) error {
	data, err := json.MarshalIndent(record, "", "  ")
	if err != nil {
		return err
	}
	file := r.recordPath(record.UUID)
	if err := os.MkdirAll(path.Dir(file), 0o755); err != nil {
		return fmt.Errorf("cannot write the record of a boot environment: %w", err)
	}
	return put(file, append(data, '\n'), 0o644)
}
