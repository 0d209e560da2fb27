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

// Identity is what a root file system says of itself.
type Identity struct {
	Title   string
	Kernels []Kernel
}

// Registry knows the boot environments of a file system.
type Registry struct {
	store    store.Store
	root     string
	identify func(root string) (Identity, error)
	journal  *txn.Journal

	// Loader asks the boot loader for the name of the environment that boots
	// unless a trial is armed, and for the nonce of the trial that is, or will be
	// as the machine goes down. Nil
	// where apt-be init was not run.
	Loader func() (defaultName, armedNonce string, err error)
	// Mounted returns the directories at which a subvolume of the store is mounted:
	// recovery deletes none that is. Nil if nothing can be.
	Mounted func(subvolume string) ([]string, error)
	// LoaderErr is why Loader is nil where apt-be init was run: what the next boot
	// takes is not known, so no environment is destroyed.
	LoaderErr error
}

// NewRegistry returns the registry of the environments in st. root is the
// directory at which the running one is mounted, "/" but for tests and
// images. identify reads the identity of the root file system at a directory.
func NewRegistry(st store.Store, root string, identify func(root string) (Identity, error)) *Registry {
	r := &Registry{store: st, root: root, identify: identify}
	r.journal = &txn.Journal{Dir: st.Path(HomeDir + "/journal"), Handlers: r.handlers()}
	return r
}

// Handle has transactions of a package above this one recovered with those on
// the registry: they may be of further kinds of steps.
func (r *Registry) Handle(handlers txn.Handlers) { maps.Copy(r.journal.Handlers, handlers) }

// Transaction begins one of the kinds of steps that Handle was called with. The
// caller holds the Lock.
func (r *Registry) Transaction(title string) (*txn.Txn, error) { return r.journal.Begin(title) }

// Building returns the names that environments will get which are being built.
// The caller holds the Lock, and has recovered.
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

// Dir is the directory at which all of an environment is seen, its parts too, but
// for those of an original root that does not run.
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
		return dir // of an image, or of a test
	}
	return r.root
}

// Store is the store that holds the environments.
func (r *Registry) Store() store.Store { return r.store }

// Lock makes this process the one writer, or returns a *txn.HeldError when
// ctx is done. Call release when the change is made.
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

// Use marks an environment as in use by this process, until the lock is
// released: nobody else can work in it or destroy it. It waits for the Lock
// until ctx is done, but not for somebody who works in the environment: that
// may take days.
func (r *Registry) Use(ctx context.Context, e Env) (*txn.Lock, error) {
	release, err := r.Lock(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	if here, err := r.isAt(e.Subvolume.Path, e.Subvolume.UUID); err != nil {
		return nil, err
	} else if !here {
		return nil, fmt.Errorf("%w: %s, any more", ErrNotFound, e.Name)
	}
	if err := r.adopt(e); err != nil {
		return nil, err
	}
	now, cancel := context.WithCancel(ctx)
	cancel()
	return txn.TakeLock(now, r.usePath(e))
}

// InUse says whether some process works in an environment.
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

// ensureHome makes the subvolume that holds the registry.
func (r *Registry) ensureHome() error {
	if err := r.store.Create(HomeDir); err != nil && !errors.Is(err, store.ErrExists) {
		return fmt.Errorf("cannot make the registry: %w", err)
	}
	return nil
}

// List describes all boot environments, oldest first, without those under
// construction.
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
		} else if e.Running { // it goes on living
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

// addUnreadable adds the environments elsewhere than in EnvDir whose records can't
// be read, so don't tell where.
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

// Get returns the environment called name, or an ErrNotFound.
func (r *Registry) Get(name string) (Env, error) {
	return r.find(name, func(e Env) bool { return e.Name == name })
}

// Running returns the running environment.
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

// describe makes up the record of a subvolume that has none: what was
// installed before apt-be was, or what somebody made by hand.
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

// Identify reads again what the root file system of an environment says of
// itself. The record that the result holds is to be kept by Change.
func (r *Registry) Identify(e Env) (Env, error) {
	id, err := r.identify(r.Dir(e))
	if errors.Is(err, fs.ErrNotExist) && e.Original() && !e.Running && e.Record.Title != "" {
		// Its /usr is a subvolume of its own, which only it mounts: what is known
		// is from when it ran, and nobody has changed it since.
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("cannot identify the system in %s: %w", e.Name, err)
	}
	e.Record.Title, e.Record.Kernels = id.Title, id.Kernels
	return e, nil
}

// Note keeps what Identify, or List for the running environment, has found: it
// is what is known of the environment when another one runs. The caller holds
// the Lock.
func (r *Registry) Note(e Env) error {
	c, err := r.contents()
	if err != nil {
		return err
	}
	if c.bad[e.Subvolume.UUID] != nil {
		return nil // there is nowhere to note it
	}
	old, ok := c.records[e.Subvolume.UUID]
	if ok && old.Title == e.Record.Title && slices.Equal(old.Kernels, e.Record.Kernels) {
		return nil
	}
	return r.Change(e, func(r *Record) { r.Title, r.Kernels = e.Record.Title, e.Record.Kernels })
}

// Change edits the record of an environment, as it is by now. The caller holds
// the Lock.
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
		return fmt.Errorf("cannot keep the record of a boot environment: %w", err)
	}
	return put(file, append(data, '\n'), 0o644)
}
