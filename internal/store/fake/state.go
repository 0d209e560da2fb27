package fake

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/store"
)

// topLevelID and firstID are the IDs of the top level and of the first subvolume, as on
// btrfs.
const (
	topLevelID = 5
	firstID    = 256
)

// state is the content of the file beside the tree.
type state struct {
	NextID     uint64
	Generation uint64             // of the current transaction
	Running    string             // the UUID of the subvolume that is "/"
	Subvolumes map[string]*record // by path
}

// record is the state's data about a subvolume.
type record struct {
	store.Subvolume        // Path is empty: it is the key
	Busy            bool   // Delete refuses it
	Fingerprint     uint64 // of the files at the last Sync
}

func newState() *state {
	st := &state{NextID: firstID, Generation: 1, Subvolumes: map[string]*record{}}
	st.Subvolumes["."] = &record{Subvolume: store.Subvolume{
		ID: topLevelID, UUID: newUUID(), Created: time.Now(), Generation: st.Generation, OTransID: st.Generation,
	}}
	return st
}

// add adds a new subvolume in a transaction of its own.
func (st *state) add(p string, parentUUID string, readOnly bool, fingerprint uint64) {
	st.Generation++
	st.Subvolumes[p] = &record{Fingerprint: fingerprint, Subvolume: store.Subvolume{
		ID: st.NextID, UUID: newUUID(), ParentUUID: parentUUID, ReadOnly: readOnly,
		Created: time.Now(), Generation: st.Generation, OTransID: st.Generation,
	}}
	st.NextID++
}

// describe returns the subvolume at p, which must be in the state.
func (st *state) describe(p string) store.Subvolume {
	subvolume := st.Subvolumes[p].Subvolume
	subvolume.Path = p
	return subvolume
}

// within returns the subvolumes below directory dir, at any depth, each before its
// nested ones.
func (st *state) within(dir string) []string {
	var found []string
	for p := range st.Subvolumes {
		if inside(p, dir) {
			found = append(found, p)
		}
	}
	slices.SortFunc(found, store.ComparePaths)
	return found
}

// move moves the subvolume at p, with nested ones, to another path.
func (st *state) move(p, to string) {
	for _, nested := range st.within(p) {
		st.Subvolumes[to+strings.TrimPrefix(nested, p)] = st.Subvolumes[nested]
		delete(st.Subvolumes, nested)
	}
	st.Subvolumes[to] = st.Subvolumes[p]
	delete(st.Subvolumes, p)
}

func newUUID() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// update calls change with the state, under a lock that excludes all other
// processes, and writes the changed state if change returns nil.
func (s *Store) update(change func(*state) error) error {
	return s.locked(unix.LOCK_EX, func(st *state) error {
		if err := change(st); err != nil {
			return err
		}
		return s.write(st)
	})
}

// view calls look with the state, under a lock that excludes writers.
func (s *Store) view(look func(*state) error) error { return s.locked(unix.LOCK_SH, look) }

func (s *Store) locked(how int, do func(*state) error) error {
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), how); err != nil {
		return os.NewSyscallError("flock", err)
	}
	st, err := s.read()
	if err != nil {
		return err
	}
	return do(st)
}

func (s *Store) stateFile() string { return filepath.Join(s.dir, "state.json") }

// read returns the state without subvolumes whose directory was removed by other means.
func (s *Store) read() (*state, error) {
	data, err := os.ReadFile(s.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		return newState(), nil
	}
	if err != nil {
		return nil, err
	}
	st, err := s.parse(data)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", s.stateFile(), err)
	}
	for p := range st.Subvolumes {
		if info, err := os.Lstat(s.Path(p)); err != nil || !info.IsDir() {
			delete(st.Subvolumes, p)
		}
	}
	return st, nil
}

// parse returns the state that data describes. Most calls find the same data as
// the call before them.
func (s *Store) parse(data []byte) (*state, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !bytes.Equal(data, s.data) {
		st := &state{}
		if err := json.Unmarshal(data, st); err != nil {
			return nil, err
		}
		s.data, s.parsed = data, st
	}
	return s.parsed.clone(), nil
}

func (st *state) clone() *state {
	c := *st
	c.Subvolumes = make(map[string]*record, len(st.Subvolumes))
	for p, r := range st.Subvolumes {
		same := *r
		c.Subvolumes[p] = &same
	}
	return &c
}

func (s *Store) write(st *state) error {
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	fresh := filepath.Join(s.scratch(), "state")
	if err := os.WriteFile(fresh, data, 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, s.stateFile())
}
