package txn_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/txn"
)

// Kinds of steps that change a directory: "make" creates a file, and "flip" renames one
// and can end a transaction.
const (
	kindMake = "make" // file
	kindFlip = "flip" // from, to
)

// fixture is a journal whose steps create and rename files in a directory.
type fixture struct {
	dir     string
	journal *txn.Journal
	log     []string // the calls of the handlers
	stuck   bool     // undoing fails
}

func newFixture(dir string) *fixture {
	f := &fixture{dir: dir}
	f.journal = &txn.Journal{Dir: filepath.Join(dir, "journal"), Handlers: txn.Handlers{
		kindMake: {
			Check: inBounds,
			Do: func(_ context.Context, a txn.Args) error {
				f.log = append(f.log, "make "+a["file"])
				return os.WriteFile(filepath.Join(f.dir, a["file"]), nil, 0o644)
			},
			Undo: func(_ context.Context, a txn.Args) error {
				f.log = append(f.log, "unmake "+a["file"])
				if f.stuck {
					return errors.New("it is stuck")
				}
				err := os.Remove(filepath.Join(f.dir, a["file"]))
				if errors.Is(err, os.ErrNotExist) {
					return nil
				}
				return err
			},
		},
		kindFlip: {
			Check: inBounds,
			Do: func(_ context.Context, a txn.Args) error {
				f.log = append(f.log, "flip "+a["from"])
				return os.Rename(filepath.Join(f.dir, a["from"]), filepath.Join(f.dir, a["to"]))
			},
			Undo: func(_ context.Context, a txn.Args) error {
				f.log = append(f.log, "unflip "+a["from"])
				if f.stuck {
					return errors.New("it is stuck")
				}
				err := os.Rename(filepath.Join(f.dir, a["to"]), filepath.Join(f.dir, a["from"]))
				if errors.Is(err, os.ErrNotExist) {
					return nil
				}
				return err
			},
			Happened: func(_ context.Context, a txn.Args) (bool, error) {
				_, err := os.Lstat(filepath.Join(f.dir, a["to"]))
				if errors.Is(err, os.ErrNotExist) {
					return false, nil
				}
				return err == nil, err
			},
		},
	}}
	return f
}

// inBounds allows steps only for files with names of one letter, or in no/.
func inBounds(_ string, a txn.Args) error {
	if err := a.Only("file", "from", "to", "padding"); err != nil {
		return err
	}
	for key, value := range a {
		if key != "padding" && len(value) != 1 && value != "missing" && !strings.HasPrefix(value, "no/") {
			return txn.OutOfBounds(value, "is not of this transaction")
		}
	}
	return nil
}

// appended returns the text of a journal with further lines and right checksums.
func appended(text string, lines ...string) string {
	for _, line := range lines {
		last, err := hex.DecodeString(text[len(text)-1-2*sha256.Size : len(text)-1])
		if err != nil {
			panic(err)
		}
		text += sealed(last, line)
	}
	return text
}

// sealed returns a line with the checksum that follows another one.
func sealed(last []byte, line string) string {
	sum := sha256.Sum256(append(slices.Clone(last), line...))
	return line + " " + hex.EncodeToString(sum[:]) + "\n"
}

func makeFile(name string) txn.Step {
	return txn.Step{Kind: kindMake, Args: txn.Args{"file": name}}
}

func flip(from, to string) txn.Step {
	return txn.Step{Kind: kindFlip, Args: txn.Args{"from": from, "to": to}}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files lists the directory, including journals.
func (f *fixture) files(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, dir := range []string{f.dir, f.journal.Dir} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if !entry.IsDir() {
				names = append(names, entry.Name())
			}
		}
	}
	return names
}

func (f *fixture) checkFiles(t *testing.T, want ...string) {
	t.Helper()
	if got := f.files(t); !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func (f *fixture) checkLog(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(f.log, want) {
		t.Errorf("what ran is %q, want %q", f.log, want)
	}
}

// recover recovers with handlers of its own, like another process.
func (f *fixture) recover(t *testing.T) []txn.Recovered {
	t.Helper()
	recovered, err := newFixture(f.dir).journal.Recover(context.Background())
	check(t, err)
	return recovered
}

// abandon leaves a transaction as a killed process does.
func abandon(tx *txn.Txn) { tx.File().Close() }

// journalFile returns the only journal.
func (f *fixture) journalFile(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(f.journal.Dir, "*.json"))
	check(t, err)
	if len(files) != 1 {
		t.Fatalf("there are journals %q, want one", files)
	}
	return files[0]
}

// edit changes the text of the only journal.
func (f *fixture) edit(t *testing.T, change func(string) string) {
	t.Helper()
	file := f.journalFile(t)
	data, err := os.ReadFile(file)
	check(t, err)
	check(t, os.WriteFile(file, []byte(change(string(data))), 0o600))
}

func contains(err error, text string) bool {
	return err != nil && strings.Contains(err.Error(), text)
}
