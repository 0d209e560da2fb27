// Package txn runs named steps that can be undone, and records them in a journal, so
// that the next run can settle a run that was interrupted by a signal, a crash or a
// power cut.
//
// A step is a kind and its arguments, both plain data; the kind's Handler implements
// it. The journal records a step before it runs, durably unless the step is Volatile.
// So an undo must handle steps that ran completely, in part, or not at all.
//
// Recovery does not trust a journal. Each line has a checksum over the line and all
// lines before, starting with the transaction's ID (see chain), and each kind limits
// its arguments (Handler.Check). If a line was appended, changed, moved, or copied from
// another journal, or if an argument is out of bounds, Recover leaves the journal and
// its subvolumes unchanged. Lines removed at the end look like lines that a crash
// prevented. So each undo checks the actual state before it changes anything.
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

// Step is an operation, as the journal records it.
type Step struct {
	Kind string `json:"kind"`
	Args Args   `json:"args,omitempty"`
	// Volatile is true if the step's result is recognizable as garbage without a
	// journal, so that a power cut may take the journal.
	Volatile bool `json:"-"`
}

// Handler implements a kind of step.
type Handler struct {
	// Check returns OutOfBounds if the arguments name anything that a step of this kind
	// may not touch in the transaction with the ID. It is called before Do, and for all
	// steps of a journal before the first one is undone.
	Check func(id string, args Args) error
	// Do runs the step.
	Do func(ctx context.Context, args Args) error
	// Undo undoes the step, whether Do ran completely, in part, or not at all. If the
	// step cannot be undone, such as a deletion, Undo completes it. The state may have
	// changed since the journal was written, so Undo checks it.
	Undo func(ctx context.Context, args Args) error
	// Happened reports whether Do took effect. Only the kinds for Commit have it.
	// Recover never undoes a step of such a kind; Rollback does, after a failed Commit.
	Happened func(ctx context.Context, args Args) (bool, error)
}

// Handlers maps kinds to their handlers.
type Handlers map[string]Handler

// Journal is a directory with one file per transaction, and the handlers of their
// steps.
type Journal struct {
	Dir      string // an absolute path
	Handlers Handlers
	// InOrder requires that a step is undone only after all later steps were undone:
	// Rollback stops at the first step that cannot be undone, and the next Recover
	// starts again with the last step. Otherwise Rollback continues with the other
	// steps.
	InOrder bool
}

// fileLimit is the maximum size of a journal in bytes. A step may contain a command
// line, which Linux limits to 2 MiB.
const fileLimit = 64 << 20

// header is the first line of a journal file.
type header struct {
	Schema  int       `json:"schema"`
	Inode   uint64    `json:"inode"` // the inode of the file: a copy of a journal has another one, and is not undone
	Title   string    `json:"title"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
}

// schema is the version of the journal's format. Files of other versions are left
// alone.
const schema = 2

// line is each further line of a journal file.
type line struct {
	Step   Step `json:"step"`
	Commit bool `json:"commit,omitempty"`
}

// Txn is an active transaction.
type Txn struct {
	ID      string // unique; hexadecimal digits
	journal *Journal
	file    *os.File
	named   bool // the file's name is durable
	size    int64
	chain   chain
	steps   []Step
	commit  *Step // the step of Commit
}

// Begin opens a transaction. Before the first step that is not Volatile, a power cut
// leaves nothing of it. The title describes the transaction for people, such as
// "upgrade to boot environment 2026-11-20".
func (j *Journal) Begin(title string) (*Txn, error) {
	for kind, handler := range j.Handlers {
		if handler.Check == nil {
			return nil, fmt.Errorf("internal error: step %s has no bounds", kind)
		}
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("cannot create the journal: %w", err)
	}
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, err
	}
	id := hex.EncodeToString(random[:])
	// The file is locked under a name that Recover ignores, and then renamed, so that
	// it never looks like an abandoned journal.
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

// File returns the locked journal file. While a child process has it open, the
// transaction does not count as abandoned.
func (t *Txn) File() *os.File { return t.file }

// Do writes a step to the journal and runs it. If it fails, it undoes nothing; the
// caller calls Rollback.
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

// Commit runs the step after which the transaction can no longer be undone, and ends
// the transaction. If it fails, the caller calls Rollback, which undoes this step, too:
// the step may have taken effect without being durable.
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
	// If the journal cannot be removed, or reappears after a power cut, Recover sees
	// that the step took effect, and ends the transaction.
	_ = os.Remove(t.path())
	t.close()
	return nil
}

// End ends the transaction without undoing anything, and removes its journal.
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

// Rollback undoes the steps in reverse order and ends the transaction. If a step cannot
// be undone, Rollback continues with the others, unless the journal is InOrder; the
// journal stays for the next command. If the step of a failed Commit cannot be undone,
// Rollback undoes nothing else, because the earlier steps belong to its result; the
// next command determines whether the step took effect.
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
		// If another line followed an incomplete one, the journal would look tampered
		// with.
		return errors.Join(err, t.file.Truncate(t.size))
	}
	t.size, t.chain = t.size+int64(len(text)), next
	return nil
}

// sync makes the current journal durable.
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

// handler returns the handler of a step, after checking that the arguments are in
// bounds.
func (j *Journal) handler(id string, step Step) (Handler, error) {
	h, ok := j.Handlers[step.Kind]
	if !ok {
		return Handler{}, fmt.Errorf("no handler for step %s", step.Kind)
	}
	if h.Check == nil {
		return Handler{}, fmt.Errorf("step %s has no bounds", step.Kind)
	}
	for _, value := range step.Args {
		if !utf8.ValidString(value) { // JSON would change the value
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
