package txn

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/regular"
)

// Recovered describes an abandoned transaction that Recover has settled.
type Recovered struct {
	ID      string
	Title   string
	PID     int
	Started time.Time
	Done    bool  // the transaction had committed; only the journal was left
	Err     error // the reason why it could not be settled; the next Recover tries again
}

// Recover settles the transactions whose process has ended: it ends those that
// committed, and undoes the others.
func (j *Journal) Recover(ctx context.Context) ([]Recovered, error) {
	entries, err := os.ReadDir(j.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	var all []Recovered
	for _, entry := range entries {
		name := entry.Name()
		if id, ok := strings.CutSuffix(name, ".json"); ok && !strings.HasPrefix(name, ".") {
			r, abandoned := j.settle(ctx, id)
			if abandoned {
				all = append(all, r)
			}
		} else if strings.HasPrefix(name, ".new-") {
			j.sweep(name)
		}
	}
	return all, nil
}

// Unsettled returns the IDs of transactions that have neither ended nor been undone:
// active ones, and, after Recover, those that it could not settle.
func (j *Journal) Unsettled() (map[string]bool, error) {
	entries, err := os.ReadDir(j.Dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("cannot read the journal: %w", err)
	}
	ids := map[string]bool{}
	for _, entry := range entries {
		if id, ok := strings.CutSuffix(entry.Name(), ".json"); ok {
			ids[id] = true
		}
	}
	return ids, nil
}

// lockAbandoned opens and locks a journal file. It returns EWOULDBLOCK if the
// transaction's process lives, and fs.ErrNotExist if the transaction is settled.
func lockAbandoned(path string) (*os.File, error) {
	f, err := regular.Open(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = checkFile(f, path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// checkFile fails if an open file may not be a journal that only this user has written.
// It returns fs.ErrNotExist if the file was removed.
func checkFile(f *os.File, path string) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	switch {
	case stat.Nlink == 0:
		return os.ErrNotExist
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("it belongs to user %d, not to user %d", stat.Uid, os.Geteuid())
	case stat.Mode&0o022 != 0:
		return fmt.Errorf("others than its owner can write to it: its mode is %04o", stat.Mode&0o7777)
	case stat.Nlink > 1:
		return fmt.Errorf("it has %d names", stat.Nlink)
	}
	here, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Lstat(path)
	if err == nil && !os.SameFile(here, there) {
		err = errors.New("another file replaced it meanwhile")
	}
	return err
}

// sweep removes a journal that never got its final name.
func (j *Journal) sweep(name string) {
	path := filepath.Join(j.Dir, name)
	if f, err := lockAbandoned(path); err == nil {
		os.Remove(path)
		f.Close()
	}
}

func (j *Journal) settle(ctx context.Context, id string) (r Recovered, abandoned bool) {
	path := filepath.Join(j.Dir, id+".json")
	f, err := lockAbandoned(path)
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, os.ErrNotExist) {
		return r, false
	}
	if err != nil {
		return Recovered{ID: id, Err: &UnreadableError{path, regular.Reason(err)}}, true
	}
	defer f.Close()
	r.ID = id
	head, steps, commit, err := j.parse(f, id)
	if err != nil {
		r.Err = &UnreadableError{path, err}
		return r, true
	}
	r.Title, r.PID, r.Started = head.Title, head.PID, head.Started
	if commit != nil {
		if r.Done, r.Err = j.Handlers[commit.Kind].Happened(ctx, commit.Args); r.Err != nil {
			return r, true
		}
	}
	if !r.Done {
		if r.Err = j.undo(ctx, id, steps); r.Err != nil {
			return r, true
		}
	}
	r.Err = durable.Remove(path)
	return r, true
}

// parse reads the journal of the transaction with an ID. An incomplete last line is
// allowed: its step did not run. An incomplete first line is allowed, too, before the
// first durable step. Any other unreadable or out-of-bounds line makes the whole
// journal unreadable, because undoing only some steps may be worse than undoing none.
func (j *Journal) parse(f *os.File, id string) (head header, steps []Step, commit *Step, err error) {
	in := bufio.NewReader(io.LimitReader(f, fileLimit))
	first, err := in.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(first) < fileLimit {
		return header{}, nil, nil, nil
	}
	var chain chain
	if err == nil {
		head, chain, err = parseHeader(f, id, first)
	}
	if err != nil {
		return head, nil, nil, err
	}
	rest, err := io.ReadAll(in)
	if err == nil && len(first)+len(rest) >= fileLimit {
		err = fmt.Errorf("it is larger than %d MiB", fileLimit>>20)
	}
	if err != nil {
		return head, nil, nil, err
	}
	number := 1
	for sealed := range bytes.Lines(rest) {
		number++
		if !bytes.HasSuffix(sealed, []byte("\n")) {
			break
		}
		var l line
		var text []byte
		if text, chain, err = chain.open(sealed); err == nil {
			err = json.Unmarshal(text, &l)
		}
		if err == nil {
			err = j.checkLine(id, l, commit)
		}
		if err != nil {
			return head, nil, nil, fmt.Errorf("line %d: %w", number, err)
		}
		if l.Commit {
			commit = &l.Step
		} else {
			steps = append(steps, l.Step)
		}
	}
	return head, steps, commit, nil
}

// parseHeader reads the first line of a journal. A journal of another schema only needs
// to begin with a value that contains the schema.
func parseHeader(f *os.File, id string, sealed []byte) (head header, next chain, err error) {
	var of struct {
		Schema int `json:"schema"`
	}
	if err := json.NewDecoder(bytes.NewReader(sealed)).Decode(&of); err != nil {
		return head, next, err
	}
	switch {
	case of.Schema > schema:
		return head, next, fmt.Errorf("schema %d was written by a newer apt-be", of.Schema)
	case of.Schema < 1:
		return head, next, errors.New("the first line is not that of a journal")
	case of.Schema < schema:
		return head, next, fmt.Errorf("schema %d was written by an older apt-be", of.Schema)
	}
	text, next, err := seed(id).open(sealed)
	if err == nil {
		err = json.Unmarshal(text, &head)
	}
	if err != nil {
		return head, next, fmt.Errorf("line 1: %w", err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return head, next, os.NewSyscallError("fstat", err)
	}
	if stat.Ino != head.Inode {
		return head, next, errors.New("it is a copy of a journal: its inode differs")
	}
	return head, next, nil
}

// checkLine returns an error if a line after the first one is invalid.
func (j *Journal) checkLine(id string, l line, commit *Step) error {
	if _, ok := j.Handlers[l.Step.Kind]; !ok {
		return fmt.Errorf("unknown step %q", l.Step.Kind)
	}
	if commit != nil {
		return errors.New("a step follows the one that ended the transaction")
	}
	handler, err := j.handler(id, l.Step)
	if err == nil && l.Commit && handler.Happened == nil {
		err = fmt.Errorf("a step %q cannot end a transaction", l.Step.Kind)
	}
	if err == nil && !l.Commit && handler.Happened != nil {
		err = fmt.Errorf("a step %q must end a transaction, and this one does not", l.Step.Kind)
	}
	return err
}
