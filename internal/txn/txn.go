// Package txn runs named steps that can be undone, and keeps a journal of
// them, so that a run that was cut off (by a signal, a crash, a power cut)
// can be settled by the next one.
//
// A step is a kind and its arguments, both plain data; what they do is in the
// Handlers of the kind. The journal names a step before it runs, and durably so
// unless the step is Volatile. So an undo must cope with a step that ran whole,
// in part, or not at all.
//
// Recovery does not trust a journal. Each line has a checksum over itself and all
// that is before it, which begins with the transaction's ID (see chain), and each
// kind says what its arguments may name (Handler.Check). If a
// line was appended, changed, moved, or copied from another journal, or if an argument
// is out of bounds, Recover does nothing and leaves the journal as it is. Lines that
// somebody removed at the end look like lines that a crash kept from being written.
// So each undo looks at the machine before it changes something.
package txn

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/durable"
)

// Args are the arguments of a step.
type Args map[string]string

// Step is one thing to do, as the journal records it.
type Step struct {
	Kind string `json:"kind"`
	Args Args   `json:"args,omitempty"`
	// Volatile says that what the step leaves is known for garbage without a
	// journal: a power cut may take the journal with it.
	Volatile bool `json:"-"`
}

// Handler is what a kind of step does.
type Handler struct {
	// Check says, of the arguments alone, whether they name only what a step of
	// this kind may touch in the transaction that has an ID: OutOfBounds if not.
	// It is asked before Do, and before anything of a journal is undone.
	Check func(id string, args Args) error
	// Do runs the step.
	Do func(ctx context.Context, args Args) error
	// Undo takes it back, however far Do came. For a step that can't be
	// taken back, such as a deletion, Undo finishes it. What the journal says of
	// the machine may be wrong by now: it looks.
	Undo func(ctx context.Context, args Args) error
	// Happened says whether Do had its effect. Only kinds that Commit is called
	// with have it. Recover never undoes a step of such a kind; Rollback does,
	// after a Commit that failed.
	Happened func(ctx context.Context, args Args) (bool, error)
}

// Handlers maps kinds to what they do.
type Handlers map[string]Handler

// Journal is a directory with one file per transaction, and what can be done
// in them.
type Journal struct {
	Dir      string // absolute
	Handlers Handlers
	// InOrder says that a step is undone only if all that came after it are:
	// the first one that can't be undone ends Rollback, and the next Recover
	// begins with the last step again. Without it, one that can't be undone
	// doesn't keep the others from it.
	InOrder bool
}

// fileLimit is how much is read of a journal, in bytes. A step may hold a whole
// command line, which Linux limits to 2 MiB.
const fileLimit = 64 << 20

// header is the first line of a journal file.
type header struct {
	Schema  int       `json:"schema"`
	Inode   uint64    `json:"inode"` // of the file: a copy has no lock, and is not undone
	Title   string    `json:"title"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// schema is the version of the journal's format. A file of another one is
// left alone.
const schema = 2

// line is each further line of a journal file.
type line struct {
	Step   Step `json:"step"`
	Commit bool `json:"commit,omitempty"`
}

// Txn is a transaction under way.
type Txn struct {
	ID      string // unique; of hexadecimal digits
	journal *Journal
	file    *os.File
	named   bool // the file's name is durable
	size    int64
	chain   chain
	steps   []Step
	commit  *Step // the one that Commit was called with
}

// Begin opens a transaction, of which a power cut leaves nothing before its
// first step that is not Volatile. The title says to a human what is under way,
// such as "upgrade to boot environment 2026-11-20".
func (j *Journal) Begin(title string) (*Txn, error) {
	for kind, handler := range j.Handlers {
		if handler.Check == nil {
			return nil, fmt.Errorf("internal error: step %s has no bounds", kind)
		}
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the journal: %w", err)
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	id := hex.EncodeToString(random[:])
	// Locked under a name that Recover passes over, and only then given its own:
	// at no moment is there a journal that looks abandoned.
	hidden := filepath.Join(j.Dir, ".new-"+id)
	f, err := os.OpenFile(hidden, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot begin a journal: %w", err)
	}
	t := &Txn{ID: id, journal: j, file: f, chain: seed(id)}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	var stat unix.Stat_t
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &stat)
	}
	if err == nil {
		err = t.append(header{Schema: schema, Inode: stat.Ino, Title: title, PID: os.Getpid(), Started: time.Now().UTC()})
	}
	if err == nil {
		err = os.Rename(hidden, t.path())
	}
	if err != nil {
		os.Remove(hidden)
		os.Remove(t.path())
		f.Close()
		return nil, fmt.Errorf("cannot begin a journal: %w", err)
	}
	return t, nil
}

// File is the locked journal file: a child that inherits it keeps the
// transaction from being taken for abandoned.
func (t *Txn) File() *os.File { return t.file }

// Do enters a step in the journal and runs it. On an error nothing is undone
// yet: that is Rollback's.
func (t *Txn) Do(ctx context.Context, step Step) error {
	handler, err := t.journal.handler(t.ID, step)
	if err == nil && handler.Happened != nil {
		err = fmt.Errorf("step %s is one to commit with", step.Kind)
	}
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	err = t.append(line{Step: step})
	if err == nil && !step.Volatile {
		err = t.sync()
	}
	if err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	t.steps = append(t.steps, step)
	return handler.Do(ctx, step.Args)
}

// Commit runs the one step after which nothing is undone any more, and ends
// the transaction. On an error Rollback is the caller's, which takes that step
// back as well: it may have happened, but not so that a power cut spares it.
func (t *Txn) Commit(ctx context.Context, step Step) error {
	handler, err := t.journal.handler(t.ID, step)
	if err != nil {
		return fmt.Errorf("internal error: %w", err)
	}
	if handler.Happened == nil {
		return fmt.Errorf("internal error: step %s is not one to commit with", step.Kind)
	}
	err = t.append(line{Step: step, Commit: true})
	if err == nil {
		err = t.sync()
	}
	if err != nil {
		return fmt.Errorf("cannot write the journal: %w", err)
	}
	t.commit = &step
	if err := handler.Do(ctx, step.Args); err != nil {
		return err
	}
	// A journal that can't be removed, or comes back after a power cut, says that
	// the step happened: Recover ends it.
	_ = os.Remove(t.path())
	t.close()
	return nil
}

// End closes the transaction as it is and forgets its journal.
func (t *Txn) End() error {
	if t.file == nil {
		return nil
	}
	err := durable.Remove(t.path())
	t.close()
	return err
}

func (t *Txn) close() {
	t.file.Close()
	t.file = nil
}

// Rollback undoes the steps, last one first, and ends the transaction. A step
// that can't be undone doesn't keep the others from it, unless the journal is
// one in order; the journal then stays for the next command to try again. But
// if that is the one of a Commit that failed, nothing else is undone: what
// belongs to what that step made stays with it, and the next command finds out
// whether it happened.
func (t *Txn) Rollback(ctx context.Context) error {
	if t.file == nil {
		return nil
	}
	var err error
	if t.commit != nil {
		err = t.journal.undo(ctx, t.ID, []Step{*t.commit})
	}
	if err == nil {
		err = t.journal.undo(ctx, t.ID, t.steps)
	}
	if err != nil {
		t.close()
		return err
	}
	return t.End()
}

func (t *Txn) path() string { return filepath.Join(t.journal.Dir, t.ID+".json") }

func (t *Txn) append(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	next := t.chain.next(data)
	text := next.seal(data)
	if _, err := t.file.Write(text); err != nil {
		// Half a line would be one that was tampered with if another one came after it.
		return errors.Join(err, t.file.Truncate(t.size))
	}
	t.size, t.chain = t.size+int64(len(text)), next
	return nil
}

// sync makes the journal durable as it is by now.
func (t *Txn) sync() error {
	if err := t.file.Sync(); err != nil || t.named {
		return err
	}
	if err := durable.SyncDir(t.journal.Dir); err != nil {
		return err
	}
	t.named = true
	return nil
}

// handler returns what is to be done for a step of the transaction that has an
// ID, which names nothing that is out of its bounds.
func (j *Journal) handler(id string, step Step) (Handler, error) {
	h, ok := j.Handlers[step.Kind]
	if !ok {
		return Handler{}, fmt.Errorf("no handler for step %s", step.Kind)
	}
	if h.Check == nil {
		return Handler{}, fmt.Errorf("step %s has no bounds", step.Kind)
	}
	for _, value := range step.Args {
		if !utf8.ValidString(value) { // JSON would have another one
			return h, boundsOf(step.Kind, OutOfBounds(value, "is not UTF-8"))
		}
	}
	return h, boundsOf(step.Kind, h.Check(id, step.Args))
}

func (j *Journal) undo(ctx context.Context, id string, steps []Step) error {
	var errs []error
	for _, step := range slices.Backward(steps) {
		handler, err := j.handler(id, step)
		if err == nil {
			err = handler.Undo(ctx, step.Args)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot undo %s: %w", step.Kind, err))
			if j.InOrder {
				break
			}
		}
	}
	return errors.Join(errs...)
}
