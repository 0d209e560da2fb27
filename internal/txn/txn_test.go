package txn_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/internal/txn"
)

var ctx = context.Background()

func TestCommit(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	check(t, tx.Do(ctx, makeFile("b")))
	check(t, tx.Commit(ctx, flip("b", "c")))
	f.checkLog(t, "make a", "make b", "flip b")
	f.checkFiles(t, "a", "c")
	check(t, tx.Rollback(ctx)) // nothing is left
	f.checkFiles(t, "a", "c")
}

func TestRollbackUndoesLastStepFirst(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	check(t, tx.Do(ctx, makeFile("b")))
	if err := tx.Do(ctx, makeFile("no/such/directory")); err == nil {
		t.Fatal("a step that can't be done was done")
	}
	check(t, tx.Rollback(ctx))
	f.checkLog(t, "make a", "make b", "make no/such/directory", "unmake no/such/directory", "unmake b", "unmake a")
	f.checkFiles(t)
	check(t, tx.Rollback(ctx))
}

func TestFailedStepIsNotTheCommit(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	if err := tx.Commit(ctx, flip("missing", "c")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Commit = %v, want ErrNotExist", err)
	}
	check(t, tx.Rollback(ctx))
	f.checkFiles(t)
}

// halfDone begins a transaction whose commit renames a to b and then fails.
func halfDone(t *testing.T, f *fixture) *txn.Txn {
	t.Helper()
	handler := f.journal.Handlers[kindFlip]
	do := handler.Do
	handler.Do = func(ctx context.Context, a txn.Args) error {
		return errors.Join(do(ctx, a), errNotDurable)
	}
	f.journal.Handlers[kindFlip] = handler
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	if err := tx.Commit(ctx, flip("a", "b")); !errors.Is(err, errNotDurable) {
		t.Errorf("Commit = %v, want the error of its step", err)
	}
	return tx
}

var errNotDurable = errors.New("it may not outlive a power cut")

func TestFailedCommitIsUndone(t *testing.T) {
	f := newFixture(t.TempDir())
	tx := halfDone(t, f)
	check(t, tx.Rollback(ctx))
	f.checkLog(t, "make a", "flip a", "unflip a", "unmake a")
	f.checkFiles(t)
}

// If a commit cannot be undone, the earlier steps are not undone either: half of the
// result would be worse.
func TestFailedUndoOfCommitKeepsSteps(t *testing.T) {
	f := newFixture(t.TempDir())
	tx := halfDone(t, f)
	f.stuck = true
	if err := tx.Rollback(ctx); !contains(err, "cannot undo flip: it is stuck") {
		t.Errorf("Rollback = %v", err)
	}
	f.checkLog(t, "make a", "flip a", "unflip a")
	recovered := f.recover(t)
	if len(recovered) != 1 || !recovered[0].Done || recovered[0].Err != nil {
		t.Errorf("Recover = %+v, want one that had committed", recovered)
	}
	f.checkFiles(t, "b")
}

// If the process dies before it could undo the commit, the commit has happened.
func TestCrashBeforeUndoOfCommit(t *testing.T) {
	f := newFixture(t.TempDir())
	abandon(halfDone(t, f))
	if recovered := f.recover(t); len(recovered) != 1 || !recovered[0].Done {
		t.Errorf("Recover = %+v, want one that had committed", recovered)
	}
	f.checkFiles(t, "b")
}

func TestUnknownKinds(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	if err := tx.Do(ctx, txn.Step{Kind: "nonsense"}); !contains(err, "nonsense") {
		t.Errorf("Do = %v", err)
	}
	if err := tx.Commit(ctx, txn.Step{Kind: "nonsense"}); !contains(err, "nonsense") {
		t.Errorf("Commit = %v", err)
	}
	if err := tx.Do(ctx, flip("a", "b")); !contains(err, "one to commit with") {
		t.Errorf("Do with a kind that has a Happened = %v", err)
	}
	if err := tx.Commit(ctx, makeFile("a")); !contains(err, "not one to commit with") {
		t.Errorf("Commit with a kind that has no Happened = %v", err)
	}
	check(t, tx.End())
	check(t, tx.End())
	f.checkFiles(t)
}

// rollBackStuck rolls back a and b while undoing fails.
func (f *fixture) rollBackStuck(t *testing.T) *txn.Txn {
	t.Helper()
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	check(t, tx.Do(ctx, makeFile("b")))
	f.stuck = true
	if err := tx.Rollback(ctx); !contains(err, "cannot undo make: it is stuck") {
		t.Errorf("Rollback = %v", err)
	}
	return tx
}

func TestFailedUndoIsRepeated(t *testing.T) {
	f := newFixture(t.TempDir())
	tx := f.rollBackStuck(t)
	f.checkLog(t, "make a", "make b", "unmake b", "unmake a") // a failed undo does not prevent the other one
	recovered, err := f.journal.Recover(ctx)
	check(t, err)
	if len(recovered) != 1 || !contains(recovered[0].Err, "it is stuck") || recovered[0].Done {
		t.Errorf("Recover = %+v, want one that is stuck", recovered)
	}
	unsettled, err := f.journal.Unsettled()
	check(t, err)
	if !unsettled[tx.ID] || len(unsettled) != 1 {
		t.Errorf("Unsettled = %v, want %s", unsettled, tx.ID)
	}
	f.stuck = false
	recovered, err = f.journal.Recover(ctx)
	check(t, err)
	if len(recovered) != 1 || recovered[0].Err != nil {
		t.Errorf("Recover = %+v, want one without an error", recovered)
	}
	f.checkFiles(t)
}

// With InOrder, an earlier step is not undone while a later one is not.
func TestRollbackInOrderStopsAtFailure(t *testing.T) {
	f := newFixture(t.TempDir())
	f.journal.InOrder = true
	f.rollBackStuck(t)
	f.checkLog(t, "make a", "make b", "unmake b")
	recovered, err := f.journal.Recover(ctx)
	check(t, err)
	if len(recovered) != 1 || !contains(recovered[0].Err, "it is stuck") {
		t.Errorf("Recover = %+v, want one that is stuck", recovered)
	}
	f.checkLog(t, "make a", "make b", "unmake b", "unmake b")
	f.stuck = false
	recovered, err = f.journal.Recover(ctx)
	check(t, err)
	if len(recovered) != 1 || recovered[0].Err != nil {
		t.Errorf("Recover = %+v, want one without an error", recovered)
	}
	f.checkFiles(t)
}

func TestBeginFails(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	check(t, os.WriteFile(file, nil, 0o644))
	if _, err := (&txn.Journal{Dir: filepath.Join(file, "journal")}).Begin("a test"); !contains(err, "cannot create the journal") {
		t.Errorf("Begin below a file = %v", err)
	}
	for _, journal := range []*txn.Journal{{Dir: file}} {
		if _, err := journal.Recover(ctx); !contains(err, "cannot read the journal") {
			t.Errorf("Recover of a file = %v", err)
		}
		if _, err := journal.Unsettled(); !contains(err, "cannot read the journal") {
			t.Errorf("Unsettled of a file = %v", err)
		}
	}
}

func TestNoJournalYet(t *testing.T) {
	journal := &txn.Journal{Dir: filepath.Join(t.TempDir(), "none")}
	if recovered, err := journal.Recover(ctx); err != nil || recovered != nil {
		t.Errorf("Recover = %v, %v, want nothing", recovered, err)
	}
	if unsettled, err := journal.Unsettled(); err != nil || len(unsettled) != 0 {
		t.Errorf("Unsettled = %v, %v, want nothing", unsettled, err)
	}
}
