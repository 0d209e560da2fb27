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

// Recover settles what runs that were cut off have left, and collects the
// garbage, but for what only files tell of that can't be read: Unreadable has
// those. The caller holds the Lock.
func (r *Registry) Recover(ctx context.Context) ([]txn.Recovered, error) {
	c, err := r.contents()
	if err != nil {
		return nil, err
	}
	if c.newer() {
		return nil, nil // that one settles it
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
// rest from it. What runs or is mounted stays, whatever it is, and so does what a
// record may name that can't be read.
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
				return err // not to be read now, which does not mean that it is gone
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
		// What nobody names may be named by a record that can't be read.
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
	// Last, since it says what is garbage.
	for uuid := range dead {
		delete(c.records, uuid)
		if err := durable.Remove(r.recordPath(uuid)); err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	if c.newer() {
		return errors.Join(errs...) // what it keeps under which names is not known
	}
	for _, dir := range []string{"scratch", "use", "failed"} {
		errs = append(errs, r.collectFiles(dir, c))
	}
	return errors.Join(errs...)
}

// collectUnfinished removes the subvolumes under construction that belong to no
// transaction any more, but none if they may be a newer apt-be's. It returns the
// UUIDs of all others, and why some could not be removed.
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

// dropNameless removes unreadable files of the registry whose subvolume does not
// exist: a power cut left them, or their environment was destroyed.
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
		if durable.IsTemporary(entry.Name()) && entry.Type().IsRegular() {
			errs = append(errs, os.Remove(path.Join(dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

// collectSnapshots removes the subvolumes in a directory that are garbage, by
// their UUIDs, but for those under construction.
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

// collectFiles removes the entries of a directory that are named by the UUID
// of no record.
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
