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
	recovered, err := r.journal.Recover(ctx)
	if err != nil {
		return recovered, err
	}
	return recovered, r.collect()
}

// collect removes what belongs to no environment: subvolumes under
// construction whose builder is gone or that Destroy made such, then records
// without a subvolume, and bases and scratch directories without a record.
func (r *Registry) collect() error {
	active, err := r.journal.Active()
	if err != nil {
		return err
	}
	here := map[string]bool{}
	for _, dir := range []string{EnvDir, BaseDir} {
		subvolumes, err := r.store.List(dir)
		if err != nil {
			return err
		}
		for _, sub := range subvolumes {
			id, unfinished := strings.CutPrefix(sub.Path, dir+"/"+newPrefix)
			if unfinished && !active[id] {
				if err := r.destroy(sub.Path); err != nil {
					return err
				}
			} else {
				here[sub.UUID] = true
			}
		}
	}
	records, err := r.records()
	if err != nil {
		return err
	}
	bases := map[string]bool{}
	for uuid, record := range records {
		if record.Path != "" {
			sub, err := r.store.Get(record.Path)
			here[uuid] = err == nil && sub.UUID == uuid
		}
		if here[uuid] {
			bases[record.BaseUUID] = true
			continue
		}
		delete(records, uuid)
		if err := durable.Remove(r.recordPath(uuid)); err != nil {
			return err
		}
	}
	return errors.Join(r.collectBases(bases, active), r.collectFiles("scratch", records), r.collectFiles("use", records))
}

func (r *Registry) collectBases(wanted, active map[string]bool) error {
	subvolumes, err := r.store.List(BaseDir)
	if err != nil {
		return err
	}
	for _, sub := range subvolumes {
		id, unfinished := strings.CutPrefix(path.Base(sub.Path), newPrefix)
		if wanted[sub.UUID] || unfinished && active[id] {
			continue
		}
		if err := r.destroy(sub.Path); err != nil {
			return err
		}
	}
	return nil
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
		if err := os.RemoveAll(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return nil
}
