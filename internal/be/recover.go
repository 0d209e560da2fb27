package be

import (
	"context"
	"errors"
	"os"
	"path"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/txn"
)

// Recover settles what runs that were cut off have left, and collects the
// garbage. The caller holds the Lock.
func (r *Registry) Recover(ctx context.Context) ([]txn.Recovered, error) {
	// What a newer apt-be wrote may mean that nothing here is garbage.
	if _, err := r.records(); err != nil {
		return nil, err
	}
	recovered, err := r.journal.Recover(ctx)
	if err != nil {
		return recovered, err
	}
	if err := r.collect(); err != nil {
		// Such as a subvolume with an active swap file: it stays for now, and
		// is no reason why nothing else can be done.
		recovered = append(recovered, txn.Recovered{Title: "removing a boot environment", Err: err})
	}
	return recovered, nil
}

// collect removes what belongs to no environment: subvolumes under
// construction whose transaction is settled or that Destroy made such, then
// records half written or without a subvolume, and bases, snapshots of shares and
// scratch directories without a record. What can't be removed doesn't keep the
// rest from it. The root that runs stays, whatever it is.
func (r *Registry) collect() error {
	running, err := r.store.Locate(r.root)
	if err != nil {
		return err
	}
	unsettled, err := r.journal.Unsettled()
	if err != nil {
		return err
	}
	var errs []error
	here := map[string]bool{}
	for _, dir := range []string{EnvDir, BaseDir} {
		subvolumes, err := r.store.List(dir)
		if err != nil {
			return err
		}
		for _, sub := range subvolumes {
			id, unfinished := strings.CutPrefix(sub.Path, dir+"/"+newPrefix)
			if unfinished && !unsettled[id] && sub.ID != running.ID {
				errs = append(errs, r.destroy(sub.Path))
			} else {
				here[sub.UUID] = true
			}
		}
	}
	errs = append(errs, r.collectTemporary())
	records, err := r.records()
	if err != nil {
		return err
	}
	bases, past := map[string]bool{}, map[string]bool{}
	for uuid, record := range records {
		if record.Path != "" {
			if here[uuid], err = r.isAt(record.Path, uuid); err != nil {
				return err // not to be read now, which does not mean that it is gone
			}
		}
		if here[uuid] {
			bases[record.BaseUUID] = true
			for _, p := range record.Past {
				past[p.UUID] = true
			}
			continue
		}
		delete(records, uuid)
		if err := durable.Remove(r.recordPath(uuid)); err != nil {
			return err
		}
	}
	errs = append(errs, r.collectSnapshots(BaseDir, bases), r.collectSnapshots(PastDir, past), r.collectFiles("scratch", records), r.collectFiles("use", records),
		r.collectFiles("failed", records))
	return errors.Join(errs...)
}

// collectTemporary removes what is left of records that were being written:
// that is done under the Lock, so nobody is at it.
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
		if durable.IsTemporary(entry.Name()) {
			errs = append(errs, os.Remove(path.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// collectSnapshots removes the subvolumes in a directory that are not wanted, by
// their UUIDs, but for those under construction.
func (r *Registry) collectSnapshots(dir string, wanted map[string]bool) error {
	subvolumes, err := r.store.List(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, sub := range subvolumes {
		unfinished := strings.HasPrefix(path.Base(sub.Path), newPrefix)
		if !unfinished && !wanted[sub.UUID] {
			errs = append(errs, r.destroy(sub.Path))
		}
	}
	return errors.Join(errs...)
}

// collectFiles removes the entries of a directory that are named by the UUID
// of no record.
func (r *Registry) collectFiles(dir string, records map[string]Record) error {
	dir = r.store.Path(HomeDir + "/" + dir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if _, ok := records[entry.Name()]; ok {
			continue
		}
		if err := durable.RemoveAll(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
