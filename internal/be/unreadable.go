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

// HomeMount is the mount point of the registry after apt-be init.
const HomeMount = "/var/lib/apt-be"

// RiskUnreadable is the risk of destroying an environment whose record cannot be read.
// The environment may be marked as kept.
const RiskUnreadable = "unreadable-record"

// UnreadableError reports that a state file of apt-be cannot be read or is invalid.
// Everything that it may name is protected until it is repaired.
type UnreadableError struct {
	Path string // the path for the administrator
	Of   string // the environment of the record; "" if unknown
	Err  error

	remedy  string
	destroy string // a command that destroys Of, or ""
	where   string // a command that makes Path accessible, or ""
}

func (e *UnreadableError) Error() string {
	return fmt.Sprintf("cannot %s %s: %v", e.Verb(), e.Path, e.Err)
}

// Verb returns the operation that failed, such as "read".
func (e *UnreadableError) Verb() string {
	var bounds *txn.BoundsError
	if errors.As(e.Err, &bounds) {
		return "recover with"
	}
	return "read"
}

func (e *UnreadableError) Unwrap() error { return e.Err }

// Remedy returns the remedy: sentences, and lines that are commands.
func (e *UnreadableError) Remedy() string {
	if errors.Is(e.Err, ErrNewerSchema) {
		return "a newer apt-be, in another boot environment, wrote this. Upgrade apt-be here, too, with -o Apt-Be::Redirect=no"
	}
	text := e.remedy
	if e.destroy != "" {
		text += "; or destroy the environment:\n    " + e.destroy
	}
	if e.where != "" {
		text += fmt.Sprintf("\n%s is in the top-level subvolume:\n    %s", e.Path, e.where)
	}
	return text
}

// UnreadableFile returns an UnreadableError for a file of the registry.
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
		e.remedy = fmt.Sprintf("restore %s from a copy, because apt-be init --undo needs it", e.Path)
	default:
		e.remedy = fmt.Sprintf("restore %s from a copy, or move it away", e.Path)
	}
	return e
}

// contents is the content of the registry's directory.
type contents struct {
	records map[string]Record           // by the UUIDs of the subvolumes
	bad     map[string]*UnreadableError // the other files, by name without suffix, which is usually a UUID
}

// newer reports whether a newer apt-be has written files. Apparent garbage may have a
// meaning for the newer version.
func (c contents) newer() bool {
	for _, e := range c.bad {
		if errors.Is(e, ErrNewerSchema) {
			return true
		}
	}
	return false
}

// errors returns the errors of unreadable files, sorted.
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

// records returns the readable records.
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

// found returns all subvolumes by UUID, for files that do not name the place of their
// subvolume.
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

// Unreadable lists the files of the registry, and the journals, that cannot be read or
// are invalid, with a remedy for each. It needs no lock. It fails if the registry's
// directories cannot be listed.
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

// UnreadableJournals lists the unreadable journals of j, with a remedy for each. It
// needs no lock. It fails if the journals cannot be listed.
func (r *Registry) UnreadableJournals(j *txn.Journal) ([]*UnreadableError, error) {
	bad, err := j.Unreadable()
	var all []*UnreadableError
	for _, b := range bad {
		e := r.UnreadableFile(path.Join(path.Base(j.Dir), path.Base(b.Path)), b.Err)
		who := "the apt-be that wrote the journal can settle it"
		var bounds *txn.BoundsError
		if errors.Is(b.Err, txn.ErrTampered) || errors.As(b.Err, &bounds) {
			who = "apt-be did not write this, so find out who did"
		}
		e.remedy = fmt.Sprintf("%s; if you move %s away, its subvolumes stay as they are or become garbage", who, e.Path)
		all = append(all, e)
	}
	return all, err
}

// CheckReadable returns the first error of Unreadable. Operations that need every
// record call it, under the Lock if they also change the registry.
func (r *Registry) CheckReadable() error {
	bad, err := r.Unreadable()
	if err == nil && len(bad) > 0 {
		err = bad[0]
	}
	return err
}

// nameUnreadable sets, for each unreadable record, the environment that it belongs to,
// if that can be determined.
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
			e.remedy = fmt.Sprintf("the subvolume does not exist; move %s away", e.Path)
			continue
		case !ok || strings.HasPrefix(path.Base(sub.Path), newPrefix):
			continue
		}
		e.isOf(nameOf(sub.Path), sub.ID == running.ID)
	}
}

// isOf records that the file is the record of the environment called name.
func (e *UnreadableError) isOf(name string, running bool) {
	e.Of = name
	e.remedy = fmt.Sprintf("restore %s from a copy, or move it away; then %s is treated as created by hand", e.Path, name)
	if !running {
		e.destroy = fmt.Sprintf("apt-be destroy --accept-risk %s %s", RiskUnreadable, name)
	}
}
