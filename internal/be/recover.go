package be

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/txn"
)

// Recover settles the transactions of interrupted runs and deletes garbage. It leaves
// everything that unreadable files may name; Unreadable lists these files. The caller
// holds the Lock.
func (r *Registry) Recover(ctx context.Context) ([]txn.Recovered, error) {
	c, err := r.contents()
	if err != nil {
		return nil, err
	}
	if c.newer() {
		return nil, nil // that run will settle it
	}
	recovered, err := r.journal.Recover(ctx)
	recovered = slices.DeleteFunc(recovered, func(t txn.Recovered) bool {
		var bad *txn.UnreadableError
		return errors.As(t.Err, &bad)
	})
	if err != nil {
		return recovered, err
	}
	if err := r.collect(); err != nil {
		// Such as a subvolume with an active swap file: it stays for now, and does not
		// block other operations.
		recovered = append(recovered, txn.Recovered{Title: "removing a boot environment", Err: err})
	}
	return recovered, nil
}

// collect deletes everything that belongs to no environment: first subvolumes under
// construction without an active transaction, then incomplete records, records without
// a subvolume, and bases, share snapshots and scratch directories without a record. A
// failure does not stop it from deleting the rest. It keeps everything that runs, is
// mounted, or may be named by an unreadable record.
func (r *Registry) collect() error {
	c, err := r.contents()
	if err != nil {
		return err
	}
	here, errs, err := r.collectUnfinished(c.newer())
	if err != nil {
		return err
	}
	errs = append(errs, r.collectTemporary())
	if len(c.bad) > 0 {
		if err := r.dropNameless(c); err != nil {
			return err
		}
	}
	bases, past, dead := map[string]bool{}, map[string]bool{}, map[string]Record{}
	for uuid, record := range c.records {
		if record.Path != "" && !here[uuid] {
			if here[uuid], err = r.isAt(record.Path, uuid); err != nil {
				return err // unreadable at the moment, which does not mean deleted
			}
		}
		if !here[uuid] {
			dead[uuid] = record
			continue
		}
		bases[record.BaseUUID] = true
		for _, p := range record.ShareSnapshots {
			past[p.UUID] = true
		}
	}
	garbage := func(wanted map[string]bool, named func(Record) []string) func(uuid string) bool {
		if len(c.bad) == 0 {
			return func(uuid string) bool { return !wanted[uuid] }
		}
		// An unreadable record may name a subvolume that no other record names.
		gone := map[string]bool{}
		for _, record := range dead {
			for _, uuid := range named(record) {
				gone[uuid] = true
			}
		}
		return func(uuid string) bool { return gone[uuid] && !wanted[uuid] }
	}
	errs = append(errs,
		r.collectSnapshots(BaseDir, garbage(bases, func(r Record) []string { return []string{r.BaseUUID} })),
		r.collectSnapshots(ShareSnapshotDir, garbage(past, func(r Record) []string {
			var uuids []string
			for _, p := range r.ShareSnapshots {
				uuids = append(uuids, p.UUID)
			}
			return uuids
		})))
	// Delete records last, because they define which files are garbage.
	for uuid := range dead {
		delete(c.records, uuid)
		if err := durable.Remove(r.recordPath(uuid)); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	if c.newer() {
		return errors.Join(errs...) // the names of its files are unknown
	}
	for _, dir := range []string{"scratch", "use", "failed", "log"} {
		errs = append(errs, r.collectFiles(dir, c))
	}
	return errors.Join(errs...)
}

// collectUnfinished deletes subvolumes under construction that belong to no active
// transaction; if newer is true, it deletes none, because they may belong to a newer
// apt-be. It returns the UUIDs of all other subvolumes, and the errors.
func (r *Registry) collectUnfinished(newer bool) (here map[string]bool, errs []error, err error) {
	unsettled, err := r.journal.Unsettled()
	if err != nil {
		return nil, nil, err
	}
	here = map[string]bool{}
	for _, dir := range []string{EnvDir, BaseDir} {
		subvolumes, err := r.store.List(dir)
		if err != nil {
			return nil, nil, err
		}
		for _, sub := range subvolumes {
			id, unfinished := strings.CutPrefix(sub.Path, dir+"/"+newPrefix)
			kept := !unfinished || newer || unsettled[id]
			if !kept {
				used, err := r.used(sub)
				if err != nil {
					return nil, nil, err
				}
				kept = used != ""
			}
			switch {
			case kept:
				here[sub.UUID] = true
			case IsUUID(id) && id != sub.UUID:
				here[sub.UUID] = true
				errs = append(errs, fmt.Errorf("%w: %s is not what was destroyed: give it another name, or delete it", ErrProtected, sub.Path))
			default:
				errs = append(errs, r.destroy(sub.Path))
			}
		}
	}
	return here, errs, nil
}

// dropNameless deletes unreadable files of the registry whose subvolume does not exist:
// a power cut left them, or their environment was destroyed.
func (r *Registry) dropNameless(c contents) error {
	found, err := r.found()
	if err != nil {
		return err
	}
	for uuid, bad := range c.bad {
		_, there := found[uuid]
		if there || !uuidPattern.MatchString(uuid) || errors.Is(bad, ErrNewerSchema) {
			continue
		}
		if info, err := os.Lstat(r.recordPath(uuid)); err != nil || info.IsDir() {
			continue
		}
		if err := durable.Remove(r.recordPath(uuid)); err != nil {
			return err
		}
		delete(c.bad, uuid)
	}
	return nil
}

// collectTemporary deletes temporary files of interrupted writes. Writers hold the
// Lock, so no write is in progress.
func (r *Registry) collectTemporary() error {
	dir := path.Dir(r.recordPath(""))
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if durable.IsTemporary(entry.Name()) && entry.Type().IsRegular() {
			errs = append(errs, os.Remove(path.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// collectSnapshots deletes the subvolumes in a directory that garbage selects by UUID,
// except those under construction.
func (r *Registry) collectSnapshots(dir string, garbage func(uuid string) bool) error {
	subvolumes, err := r.store.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, sub := range subvolumes {
		unfinished := strings.HasPrefix(path.Base(sub.Path), newPrefix)
		if unfinished || !garbage(sub.UUID) {
			continue
		}
		used, err := r.used(sub)
		if err == nil && used == "" {
			err = r.destroy(sub.Path)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// collectFiles deletes the entries of a directory whose name is not the UUID of a
// record.
func (r *Registry) collectFiles(dir string, c contents) error {
	dir = r.store.Path(HomeDir + "/" + dir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ok := c.records[entry.Name()]; ok || c.bad[entry.Name()] != nil {
			continue
		}
		if err := durable.RemoveAll(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
