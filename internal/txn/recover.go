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

// Recovered tells of an abandoned transaction that Recover settled.
type Recovered struct {
	ID      string
	Title   string
	PID     int
	Started time.Time
	Done    bool  // it had committed; only the journal was left
	Err     error // why it could not be settled; the next Recover tries again
}

// Recover settles the transactions whose runner is gone: those that had
// committed are ended, the others are undone.
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

// Unsettled returns the IDs of the transactions that have neither ended nor
// been undone: those under way, and, after Recover, those that it could not
// settle.
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

// lockAbandoned opens and locks a journal file: EWOULDBLOCK if its runner lives.
func lockAbandoned(path string) (*os.File, error) {
	f, err := regular.Open(path, os.O_RDWR)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// sweep removes a journal that never got its name.
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
	if _, err := os.Lstat(path); err != nil {
		return r, false // settled by another command between open and lock
	}
	r.ID = id
	head, steps, commit, err := j.parse(f)
	if err != nil {
		r.Err = &UnreadableError{path, err}
		return r, true
	}
	r.Title, r.PID, r.Started = head.Title, head.PID, head.Started
	if commit != nil {
		var handler Handler
		if handler, r.Err = j.handler(commit.Kind); r.Err == nil {
			r.Done, r.Err = handler.Happened(ctx, commit.Args)
		}
		if r.Err != nil {
			return r, true
		}
	}
	if !r.Done {
		if r.Err = j.undo(ctx, steps); r.Err != nil {
			return r, true
		}
	}
	r.Err = durable.Remove(path)
	return r, true
}

// parse reads a journal. Its last line may be torn: that step did not run. So
// may the first one be, if no step was to outlive a power cut yet. Whatever else
// can't be read makes all of it so: to undo some steps and not others might be
// worse than to leave them all.
func (j *Journal) parse(f *os.File) (head header, steps []Step, commit *Step, err error) {
	in := bufio.NewReader(io.LimitReader(f, fileLimit))
	first, err := in.ReadBytes('\n')
	if errors.Is(err, io.EOF) && len(first) < fileLimit {
		return header{}, nil, nil, nil
	}
	if err == nil {
		err = json.Unmarshal(first, &head)
	}
	if err != nil {
		return head, nil, nil, err
	}
	if head.Schema > schema {
		return head, nil, nil, fmt.Errorf("it is of schema %d, written by a newer apt-be", head.Schema)
	}
	if head.Schema < 1 {
		return head, nil, nil, errors.New("its first line is not that of a journal")
	}
	rest, err := io.ReadAll(in)
	if err == nil && len(first)+len(rest) >= fileLimit {
		err = fmt.Errorf("it is larger than %d MiB", fileLimit>>20)
	}
	if err != nil {
		return head, nil, nil, err
	}
	number := 1
	for text := range bytes.Lines(rest) {
		number++
		var l line
		if err := json.Unmarshal(bytes.TrimSpace(text), &l); err != nil {
			if !bytes.HasSuffix(text, []byte("\n")) {
				break
			}
			return head, nil, nil, fmt.Errorf("line %d: %w", number, err)
		}
		if _, ok := j.Handlers[l.Step.Kind]; !ok {
			return head, nil, nil, fmt.Errorf("line %d: it has a step %q, which this apt-be does not know", number, l.Step.Kind)
		}
		if l.Commit {
			commit = &l.Step
		} else {
			steps = append(steps, l.Step)
		}
	}
	if commit != nil && j.Handlers[commit.Kind].Happened == nil {
		return head, nil, nil, fmt.Errorf("a step %q ends no transaction", commit.Kind)
	}
	return head, steps, commit, nil
}
