package be

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/regular"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// HomeMount is where the registry is to be seen, once apt-be init was run.
const HomeMount = "/var/lib/apt-be"

// RiskUnreadable is the risk of destroying an environment whose record can't be
// read: it may be one that was to be kept.
const RiskUnreadable = "unreadable-record"

// UnreadableError says that a file of apt-be's own state can't be read, or means
// nothing. What it may name is protected as long as that is so.
type UnreadableError struct {
	Path string // as an administrator finds it
	Of   string // the environment that it is the record of; "" for none that is known
	Err  error

	remedy  string
	destroy string // a command that destroys Of, or ""
	where   string // a command by which Path can be reached, or ""
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("cannot %s %s: %v", e.Verb(), e.Path, e.Err)
}

// Verb is what can't be done with the file.
func (e *UnreadableError) Verb() string {
	var bounds *txn.BoundsError
	if errors.As(e.Err, &bounds) {
		return "recover by"
	}
	return "read"
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Remedy is what can be done about it: sentences, and lines that are commands.
func (e *UnreadableError) Remedy() string {
	if errors.Is(e.Err, ErrNewerSchema) {
		return "the apt-be of another boot environment is newer, and has been at work: upgrade this one's too (Apt-Be::Redirect=no has that done here)"
	}
	text := e.remedy
	if e.destroy != "" {
		text += "; or destroy it:\n    " + e.destroy
	}
	if e.where != "" {
		text += fmt.Sprintf("\n%s is in the top-level subvolume:\n    %s", e.Path, e.where)
	}
	return text
}

// UnreadableFile makes an UnreadableError of a file of the registry.
func (r *Registry) UnreadableFile(file string, err error) *UnreadableError {
	e := &UnreadableError{Path: HomeDir + "/" + file, Err: regular.Reason(err)}
	mounted := path.Join(r.root, HomeMount, file)
	if a, err := os.Lstat(mounted); err == nil {
		if b, err := os.Lstat(r.store.Path(e.Path)); err == nil && os.SameFile(a, b) {
			e.Path = mounted
		}
	}
	if e.Path != mounted {
		e.where = fmt.Sprintf("mount -o subvolid=5 %s /mnt", r.store.Device())
	}
	switch file {
	case path.Base(bootFile):
		e.remedy, e.where = "apt-be init writes it anew, from what it did", ""
	case "setup.json":
		e.remedy = fmt.Sprintf("restore %s from a copy: apt-be init --undo goes by it", e.Path)
	default:
		e.remedy = fmt.Sprintf("restore %s from a copy, or move it away", e.Path)
	}
	return e
}

// contents is what is in the registry.
type contents struct {
	records map[string]Record           // by the UUIDs of their subvolumes
	bad     map[string]*UnreadableError // the other files, by their names without the suffix: UUIDs as a rule
}

// newer says whether a newer apt-be has been at work: what looks like garbage may
// be something else to that one.
func (c contents) newer() bool {
	for _, e := range c.bad {
		if errors.Is(e, ErrNewerSchema) {
			return true
		}
	}
	return false
}

// errors are those of the files that can't be read, in order.
func (c contents) errors() []*UnreadableError {
	var all []*UnreadableError
	for _, name := range slices.Sorted(maps.Keys(c.bad)) {
		all = append(all, c.bad[name])
	}
	return all
}

// contents reads all records.
func (r *Registry) contents() (contents, error) {
	c := contents{map[string]Record{}, map[string]*UnreadableError{}}
	entries, err := os.ReadDir(path.Dir(r.recordPath("")))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("cannot read the registry %s/be: %w", HomeDir, regular.Reason(err))
	}
	for _, entry := range entries {
		uuid, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok || strings.HasPrefix(uuid, ".") {
			continue
		}
		record, err := r.readRecord(uuid)
		if errors.Is(err, os.ErrNotExist) {
			continue // destroyed meanwhile
		}
		if err != nil {
			c.bad[uuid] = r.UnreadableFile("be/"+entry.Name(), err)
			continue
		}
		c.records[uuid] = record
	}
	return c, nil
}

// records are those that can be read.
func (r *Registry) records() (map[string]Record, error) {
	c, err := r.contents()
	return c.records, err
}

func (r *Registry) readRecord(uuid string) (Record, error) {
	data, err := regular.ReadFile(r.recordPath(uuid), regular.State)
	if err != nil {
		return Record{}, err
	}
	return parseRecord(uuid, data)
}

// found are all subvolumes that there are, by UUID: for files that do not say
// where theirs is.
func (r *Registry) found() (map[string]store.Subvolume, error) {
	all, err := r.store.Nested(".")
	if err != nil {
		return nil, err
	}
	found := map[string]store.Subvolume{}
	for _, sub := range all {
		found[sub.UUID] = sub
	}
	return found, nil
}

// Unreadable lists the files of the registry that can't be read, or mean nothing,
// the journals of transactions too, and what to do about each.
func (r *Registry) Unreadable() ([]*UnreadableError, error) {
	c, err := r.contents()
	if err != nil {
		return nil, err
	}
	all := c.errors()
	if len(all) > 0 {
		r.nameUnreadable(c)
	}
	if _, err := r.Boot(); err != nil {
		var e *UnreadableError
		if errors.As(err, &e) {
			all = append(all, e)
		}
	}
	journals, err := r.UnreadableJournals(r.journal)
	return append(all, journals...), err
}

// UnreadableJournals lists those of a journal that is kept in the registry.
func (r *Registry) UnreadableJournals(j *txn.Journal) ([]*UnreadableError, error) {
	bad, err := j.Unreadable()
	var all []*UnreadableError
	for _, b := range bad {
		e := r.UnreadableFile(path.Join(path.Base(j.Dir), path.Base(b.Path)), b.Err)
		who := "an apt-be that knows what is in it settles it"
		var bounds *txn.BoundsError
		if errors.Is(b.Err, txn.ErrTampered) || errors.As(b.Err, &bounds) {
			who = "no apt-be has written that, so find out who has"
		}
		e.remedy = fmt.Sprintf("%s; with %s moved away what it tells of stays as it is now, or is garbage", who, e.Path)
		all = append(all, e)
	}
	return all, err
}

// CheckReadable returns the first of what Unreadable lists: for what must not go on
// as long as not all is known.
func (r *Registry) CheckReadable() error {
	bad, err := r.Unreadable()
	if err == nil && len(bad) > 0 {
		err = bad[0]
	}
	return err
}

// nameUnreadable tells of each record that can't be read which environment it is
// of, as far as that can be found out.
func (r *Registry) nameUnreadable(c contents) {
	found, err := r.found()
	running, runningErr := r.store.Locate(r.root)
	for uuid, e := range c.bad {
		sub, ok := found[uuid]
		if runningErr == nil && running.UUID == uuid {
			sub, ok = running, true
		}
		switch {
		case !ok && err == nil:
			e.remedy = fmt.Sprintf("there is no such subvolume: move %s away", e.Path)
			continue
		case !ok || strings.HasPrefix(path.Base(sub.Path), newPrefix):
			continue
		}
		e.isOf(nameOf(sub.Path), sub.ID == running.ID)
	}
}

// isOf tells which environment it is the record of.
func (e *UnreadableError) isOf(name string, running bool) {
	e.Of = name
	e.remedy = fmt.Sprintf("restore %s from a copy, or move it away: %s counts as made by hand then", e.Path, name)
	if !running {
		e.destroy = fmt.Sprintf("apt-be destroy --accept-risk %s %s", RiskUnreadable, name)
	}
}
