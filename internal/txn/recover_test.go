package txn_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/txn"
)

func TestRecoverUndoesInterrupted(t *testing.T) {
	for _, tt := range []struct {
		name string
		run  func(t *testing.T, tx *txn.Txn)
	}{
		{"after begin", func(t *testing.T, tx *txn.Txn) {}},
		{"after one step", func(t *testing.T, tx *txn.Txn) { check(t, tx.Do(ctx, makeFile("a"))) }},
		{"after two steps", func(t *testing.T, tx *txn.Txn) {
			check(t, tx.Do(ctx, makeFile("a")))
			check(t, tx.Do(ctx, makeFile("b")))
		}},
		{"after a step that failed", func(t *testing.T, tx *txn.Txn) {
			check(t, tx.Do(ctx, makeFile("a")))
			if tx.Do(ctx, makeFile("no/such/directory")) == nil {
				t.Fatal("the step was done")
			}
		}},
		{"after a commit that failed", func(t *testing.T, tx *txn.Txn) {
			check(t, tx.Do(ctx, makeFile("a")))
			if tx.Commit(ctx, flip("missing", "c")) == nil {
				t.Fatal("the commit was done")
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t.TempDir())
			tx, err := f.journal.Begin("a test")
			check(t, err)
			tt.run(t, tx)
			abandon(tx)
			recovered := f.recover(t)
			if len(recovered) != 1 {
				t.Fatalf("Recover = %+v, want one", recovered)
			}
			r := recovered[0]
			if r.ID != tx.ID || r.Title != "a test" || r.PID != os.Getpid() || r.Started.IsZero() || r.Done || r.Err != nil {
				t.Errorf("Recover = %+v", r)
			}
			f.checkFiles(t)
			if again := f.recover(t); again != nil {
				t.Errorf("a second Recover = %+v, want nothing", again)
			}
		})
	}
}

func TestRecoverCompletesCommitted(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	check(t, tx.Do(ctx, makeFile("b")))
	// The journal is in the state of a crash between the step and its end.
	file := f.journalFile(t)
	saved := filepath.Join(f.dir, "journal", "saved")
	check(t, os.Link(file, saved))
	check(t, tx.Commit(ctx, flip("b", "c")))
	check(t, os.Rename(saved, file))
	recovered := f.recover(t)
	if len(recovered) != 1 || !recovered[0].Done || recovered[0].Err != nil {
		t.Errorf("Recover = %+v, want one that is done", recovered)
	}
	f.checkFiles(t, "a", "c")
}

func TestRecoverUndoesMissingCommit(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	abandon(tx)
	f.edit(t, func(text string) string {
		return appended(text, `{"step":{"kind":"flip","args":{"from":"a","to":"c"}},"commit":true}`)
	})
	recovered := f.recover(t)
	if len(recovered) != 1 || recovered[0].Done || recovered[0].Err != nil {
		t.Errorf("Recover = %+v, want one that is undone", recovered)
	}
	f.checkFiles(t)
}

func TestRecoverSkipsLiveTransactions(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	if recovered := f.recover(t); recovered != nil {
		t.Errorf("Recover = %+v, want nothing", recovered)
	}
	unsettled, err := f.journal.Unsettled()
	check(t, err)
	if !unsettled[tx.ID] {
		t.Errorf("Unsettled = %v, want %s", unsettled, tx.ID)
	}
	check(t, tx.Commit(ctx, flip("a", "b")))
	f.checkFiles(t, "b")
}

// A child that inherits the journal file keeps the transaction alive.
func TestRecoverRespectsChild(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	child := startChild(t, "hold", f.dir, tx.File())
	abandon(tx)
	if recovered := f.recover(t); recovered != nil {
		t.Errorf("Recover = %+v, want nothing while the child lives", recovered)
	}
	child.kill(t)
	if recovered := f.recover(t); len(recovered) != 1 {
		t.Errorf("Recover = %+v, want one when the child is gone", recovered)
	}
	f.checkFiles(t)
}

func TestRecoverOfATornLine(t *testing.T) {
	const last = `{"step":{"kind":"make","args":{"file":"b"}}}`
	for cut := range len(last) + 1 + 64 + 1 {
		f := newFixture(t.TempDir())
		tx, err := f.journal.Begin("a test")
		check(t, err)
		check(t, tx.Do(ctx, makeFile("a")))
		abandon(tx)
		f.edit(t, func(text string) string { return appended(text, last)[:len(text)+cut] })
		recovered := f.recover(t)
		if len(recovered) != 1 || recovered[0].Err != nil {
			t.Errorf("Recover = %+v, cut at %d", recovered, cut)
		}
		f.checkFiles(t)
	}
}

func TestRecoverOfALongLine(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	step := makeFile("a")
	step.Args["padding"] = strings.Repeat("x", 3<<20)
	check(t, tx.Do(ctx, step))
	abandon(tx)
	if recovered := f.recover(t); len(recovered) != 1 || recovered[0].Err != nil {
		t.Error("Recover could not read a step of 3 MiB")
	}
	f.checkFiles(t)
}

func TestRecoverLeavesUnreadableJournal(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		edit       func(string) string
	}{
		{"newer schema", "schema 3 was written by a newer apt-be", func(text string) string {
			return strings.Replace(text, `"schema":2`, `"schema":3`, 1)
		}},
		{"older schema", "schema 1 was written by an older apt-be", func(text string) string {
			return `{"schema":1,"title":"a test","pid":1,"started":"2026-11-20T00:00:00Z"}` + "\n" +
				`{"step":{"kind":"make","args":{"file":"a"}}}` + "\n"
		}},
		{"no JSON", "cannot read the journal", func(text string) string { return "x" + text }},
		{"unknown kind", `unknown step "fly"`, func(text string) string {
			return appended(text, `{"step":{"kind":"fly"}}`)
		}},
		{"unknown kind of commit", `unknown step "fly"`, func(text string) string {
			return appended(text, `{"step":{"kind":"fly"},"commit":true}`)
		}},
		{"a commit that is none", `a step "make" cannot end a transaction`, func(text string) string {
			return appended(text, `{"step":{"kind":"make"},"commit":true}`)
		}},
		{"a commit that is not said to be one", `a step "flip" must end a transaction, and this one does not`, func(text string) string {
			return appended(text, `{"step":{"kind":"flip","args":{"from":"a","to":"b"}}}`)
		}},
		{"a step after the commit", "line 3: a step follows the one that ended", func(text string) string {
			return appended(text, `{"step":{"kind":"flip","args":{"from":"a","to":"b"}},"commit":true}`, `{"step":{"kind":"make","args":{"file":"a"}}}`)
		}},
		{"a kind that is a number", "line 2: ", func(text string) string { return appended(text, `{"step":{"kind":7}}`) }},
		{"garbage between steps", "line 2: ", func(text string) string {
			return text + "\x00\xff\n" + `{"step":{"kind":"make","args":{"file":"a"}}}` + "\n"
		}},
		{"another file's", "not that of a journal", func(string) string { return "{}\n" }},
		{"too large", "larger than 64 MiB", func(text string) string { return text + strings.Repeat(" ", 64<<20) }},
		{"out of bounds", `the argument "@rootfs" of the step make is not of this transaction`, func(text string) string {
			return appended(text, `{"step":{"kind":"make","args":{"file":"@rootfs"}}}`)
		}},
		{"a commit out of bounds", `the argument "@rootfs" of the step flip is not of this transaction`, func(text string) string {
			return appended(text, `{"step":{"kind":"flip","args":{"from":"a","to":"@rootfs"}},"commit":true}`)
		}},
		{"an argument that means nothing", `the argument "dir" of the step make is unknown`, func(text string) string {
			return appended(text, `{"step":{"kind":"make","args":{"file":"a","dir":"b"}}}`)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t.TempDir())
			tx, err := f.journal.Begin("a test")
			check(t, err)
			abandon(tx)
			f.edit(t, tt.edit)
			for range 2 {
				recovered := f.recover(t)
				if len(recovered) != 1 || !contains(recovered[0].Err, tt.says) {
					t.Errorf("Recover = %+v, want an error that says %q", recovered, tt.says)
				}
			}
			bad, err := f.journal.Unreadable()
			if err != nil || len(bad) != 1 || !contains(bad[0], tt.says) || !contains(bad[0], f.journalFile(t)) {
				t.Errorf("Unreadable = %v, %v, want one that says %q", bad, err, tt.says)
			}
			f.checkLog(t)
			f.checkFiles(t, tx.ID+".json")
		})
	}
}

// TestRecoverOfVolatileSteps has the possible remains of a journal whose
// steps were all Volatile.
func TestRecoverOfVolatileSteps(t *testing.T) {
	for name, left := range map[string]string{"nothing": "", "half a header": `{"schema":1,"ti`} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t.TempDir())
			tx, err := f.journal.Begin("a test")
			check(t, err)
			abandon(tx)
			f.edit(t, func(string) string { return left })
			if recovered := f.recover(t); len(recovered) != 1 || recovered[0].Err != nil || recovered[0].Done {
				t.Errorf("Recover = %+v", recovered)
			}
			f.checkFiles(t)
		})
	}
}

func TestRecoverSweepsHiddenJournals(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	hidden := filepath.Join(f.journal.Dir, ".new-0123")
	check(t, os.WriteFile(hidden, []byte("half a hea"), 0o600))
	check(t, os.WriteFile(filepath.Join(f.journal.Dir, "notes"), nil, 0o600))
	// A journal that a process is about to rename.
	check(t, os.Rename(f.journalFile(t), filepath.Join(f.journal.Dir, ".new-live")))
	if recovered := f.recover(t); recovered != nil {
		t.Errorf("Recover = %+v, want nothing to tell of", recovered)
	}
	f.checkFiles(t, ".new-live", "notes")
	abandon(tx)
	f.recover(t)
	f.checkFiles(t, "notes")
}

// A special file at the place of a journal is neither waited for nor changed.
func TestRecoverLeavesSpecialFiles(t *testing.T) {
	for kind, put := range map[string]func(path string) error{
		"FIFO":          func(path string) error { return unix.Mkfifo(path, 0o600) },
		"directory":     func(path string) error { return os.Mkdir(path, 0o700) },
		"symbolic link": func(path string) error { return os.Symlink("lock", path) },
	} {
		f := newFixture(t.TempDir())
		path := filepath.Join(f.journal.Dir, "0123.json")
		check(t, os.MkdirAll(f.journal.Dir, 0o700))
		check(t, put(path))
		recovered := f.recover(t)
		bad, err := f.journal.Unreadable()
		check(t, err)
		if len(recovered) != 1 || !contains(recovered[0].Err, "a "+kind) || len(bad) != 1 || !contains(bad[0], path) {
			t.Errorf("of a %s, Recover = %+v, Unreadable = %v", kind, recovered, bad)
		}
		if unsettled, err := f.journal.Unsettled(); err != nil || !unsettled["0123"] {
			t.Errorf("of a %s, Unsettled = %v, %v", kind, unsettled, err)
		}
	}
}
