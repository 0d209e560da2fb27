package be

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// The kinds of steps of transactions on the registry. "at" is the place where the
// environment is built.
const (
	stepSnapshot     = "snapshot"    // src, dst, parent: the UUID of src
	stepRename       = "rename"      // uuid, from, to: an environment; this ends the transaction
	stepExchange     = "exchange"    // uuid, from, to: two environments, of which the first has the uuid; this ends the transaction
	stepFiles        = "files"       // from, to: the old and the new UUID of an environment's files; at
	stepRenameBase   = "rename-base" // like rename, for bases
	stepExchangeBase = "exchange-base"
	stepRecord       = "record" // uuid, at, old, new: JSON, or "" for none; the record of an environment under construction
)

func (r *Registry) handlers() txn.Handlers {
	return txn.Handlers{
		stepSnapshot: {
			Check: checkSnapshot,
			Do: func(_ context.Context, a txn.Args) error {
				return r.store.Snapshot(a["src"], a["dst"], false)
			},
			Undo: func(_ context.Context, a txn.Args) error { return r.undoSnapshot(a) },
		},
		stepRename: {
			Check:    checkRename(EnvDir),
			Do:       func(_ context.Context, a txn.Args) error { return r.store.Rename(a["from"], a["to"]) },
			Undo:     func(_ context.Context, a txn.Args) error { return r.undoRename(a) },
			Happened: func(_ context.Context, a txn.Args) (bool, error) { return r.isAt(a["to"], a["uuid"]) },
		},
		stepExchange: {
			Check:    checkExchange(EnvDir),
			Do:       func(_ context.Context, a txn.Args) error { return r.store.Exchange(a["from"], a["to"]) },
			Undo:     func(_ context.Context, a txn.Args) error { return r.undoExchange(a) },
			Happened: func(_ context.Context, a txn.Args) (bool, error) { return r.isAt(a["to"], a["uuid"]) },
		},
		stepRenameBase: {
			Check: checkRename(BaseDir),
			Do:    func(_ context.Context, a txn.Args) error { return r.store.Rename(a["from"], a["to"]) },
			Undo:  func(_ context.Context, a txn.Args) error { return r.undoRename(a) },
		},
		stepExchangeBase: {
			Check: checkExchange(BaseDir),
			Do:    func(_ context.Context, a txn.Args) error { return r.store.Exchange(a["from"], a["to"]) },
			Undo:  func(_ context.Context, a txn.Args) error { return r.undoExchange(a) },
		},
		stepFiles: {
			Check: checkFiles,
			Do:    func(_ context.Context, a txn.Args) error { return r.moveFiles(a["from"], a["to"]) },
			Undo: func(_ context.Context, a txn.Args) error {
				if err := r.checkBuilt(a["to"], a["at"]); err != nil {
					return err
				}
				return r.moveFiles(a["to"], a["from"])
			},
		},
		stepRecord: {
			Check: checkRecord,
			Do:    func(_ context.Context, a txn.Args) error { return r.putRecord(a["uuid"], a["new"]) },
			Undo: func(_ context.Context, a txn.Args) error {
				if err := r.checkBuilt(a["uuid"], a["at"]); err != nil {
					return err
				}
				return r.putRecord(a["uuid"], a["old"])
			},
		},
	}
}

// isAt reports whether the subvolume with a UUID is at a path. The path may not exist,
// or have another subvolume, which must not be changed.
func (r *Registry) isAt(path, uuid string) (bool, error) {
	sub, err := r.store.Get(path)
	if gone(err) {
		return false, nil
	}
	return err == nil && sub.UUID == uuid, err
}

// gone reports whether an error of Get means that the subvolume does not exist. Other
// errors, such as of a failing disk, do not mean that.
func gone(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume)
}

// destroy deletes a subvolume if it exists.
func (r *Registry) destroy(path string) error {
	err := r.store.Delete(path)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (r *Registry) putRecord(uuid, content string) error {
	if content == "" {
		return durable.Remove(r.recordPath(uuid))
	}
	var record Record
	if err := json.Unmarshal([]byte(content), &record); err != nil {
		return err
	}
	return r.write(record, durable.WriteFileLater)
}

// putRecord replaces old, or nothing, by new, the record of the environment under
// construction. A complete record is garbage as long as its subvolume is under
// construction. The journal must say so before a power cut can leave the record alone.
func (b *Build) putRecord(ctx context.Context, uuid string, old, new *Record) error {
	args := txn.Args{"uuid": uuid, "at": b.Path}
	for key, record := range map[string]*Record{"old": old, "new": new} {
		if record == nil {
			continue
		}
		data, err := json.Marshal(record)
		if err != nil {
			return err
		}
		args[key] = string(data)
	}
	volatile := new == nil || new.State == Creating
	return b.txn.Do(ctx, txn.Step{Kind: stepRecord, Args: args, Volatile: volatile})
}

// copy makes a writable snapshot of src at dst. dst is a place of this transaction: if
// the transaction does not end, the snapshot is garbage and is deleted.
func (b *Build) copy(ctx context.Context, src, dst string) error {
	from, err := b.registry.store.Get(src)
	if err == nil {
		args := txn.Args{"src": src, "dst": dst, "parent": from.UUID}
		err = b.txn.Do(ctx, txn.Step{Kind: stepSnapshot, Args: args, Volatile: true})
	}
	if err != nil {
		return fmt.Errorf("cannot snapshot %s: %w", src, err)
	}
	return nil
}

func exchangeStep(uuid, from, to string) txn.Step {
	return txn.Step{Kind: kindAt(to, stepExchange, stepExchangeBase), Args: txn.Args{"uuid": uuid, "from": from, "to": to}}
}

func (b *Build) filesStep(from, to string) txn.Step {
	return txn.Step{Kind: stepFiles, Args: txn.Args{"from": from, "to": to, "at": b.Path}}
}

func renameStep(uuid, from, to string) txn.Step {
	return txn.Step{Kind: kindAt(to, stepRename, stepRenameBase), Args: txn.Args{"uuid": uuid, "from": from, "to": to}}
}

// kindAt returns env or base, depending on whether a place belongs to environments or
// to bases.
func kindAt(place, env, base string) string {
	if strings.HasPrefix(place, BaseDir+"/") {
		return base
	}
	return env
}
