package be

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// The kinds of steps that transactions on the registry are made of.
const (
	stepSnapshot = "snapshot" // src, dst, read-only
	stepRename   = "rename"   // uuid, from, to
	stepExchange = "exchange" // uuid, from, to: of two, the first of which has the uuid
	stepFiles    = "files"    // from, to: UUIDs, one of which an environment's files are kept under
	stepRecord   = "record"   // uuid, old, new: JSON, or "" for none; of an environment that is being built
)

func (r *Registry) handlers() txn.Handlers {
	return txn.Handlers{
		stepSnapshot: {
			Do: func(_ context.Context, a txn.Args) error {
				return r.store.Snapshot(a["src"], a["dst"], a["read-only"] == "yes")
			},
			Undo: func(_ context.Context, a txn.Args) error {
				if dir, name := path.Split(a["dst"]); dir != EnvDir+"/" && dir != BaseDir+"/" || !strings.HasPrefix(name, newPrefix) {
					return fmt.Errorf("%w: %q is none that a transaction makes", ErrProtected, a["dst"])
				}
				return r.destroy(a["dst"])
			},
		},
		stepRename: {
			Do: func(_ context.Context, a txn.Args) error { return r.store.Rename(a["from"], a["to"]) },
			Undo: func(_ context.Context, a txn.Args) error {
				if happened, err := r.isAt(a["to"], a["uuid"]); err != nil || !happened {
					return err
				}
				return r.store.Rename(a["to"], a["from"])
			},
			Happened: func(_ context.Context, a txn.Args) (bool, error) { return r.isAt(a["to"], a["uuid"]) },
		},
		stepExchange: {
			Do: func(_ context.Context, a txn.Args) error { return r.store.Exchange(a["from"], a["to"]) },
			Undo: func(_ context.Context, a txn.Args) error {
				if happened, err := r.isAt(a["to"], a["uuid"]); err != nil || !happened {
					return err
				}
				return r.store.Exchange(a["to"], a["from"])
			},
			Happened: func(_ context.Context, a txn.Args) (bool, error) { return r.isAt(a["to"], a["uuid"]) },
		},
		stepFiles: {
			Do:   func(_ context.Context, a txn.Args) error { return r.moveFiles(a["from"], a["to"]) },
			Undo: func(_ context.Context, a txn.Args) error { return r.moveFiles(a["to"], a["from"]) },
		},
		stepRecord: {
			Do:   func(_ context.Context, a txn.Args) error { return r.putRecord(a["uuid"], a["new"]) },
			Undo: func(_ context.Context, a txn.Args) error { return r.putRecord(a["uuid"], a["old"]) },
		},
	}
}

// isAt says whether the subvolume with a UUID is at a path, where there may be
// nothing, or something else that must be left alone.
func (r *Registry) isAt(path, uuid string) (bool, error) {
	sub, err := r.store.Get(path)
	if gone(err) {
		return false, nil
	}
	return err == nil && sub.UUID == uuid, err
}

// gone says whether an error of Get means that no subvolume is there. All
// others, such as of a disk that can't be read, don't tell.
func gone(err error) bool {
	return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrNotSubvolume)
}

// destroy deletes a subvolume if it is there.
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

// recordStep replaces old, or nothing, by new, or nothing. A record whose
// subvolume is nowhere, or under construction, is garbage.
func recordStep(uuid string, old, new *Record) (txn.Step, error) {
	args := txn.Args{"uuid": uuid}
	for key, record := range map[string]*Record{"old": old, "new": new} {
		if record == nil {
			continue
		}
		data, err := json.Marshal(record)
		if err != nil {
			return txn.Step{}, err
		}
		args[key] = string(data)
	}
	return txn.Step{Kind: stepRecord, Args: args, Volatile: true}, nil
}

// snapshotStep makes a snapshot under a name that makes it garbage.
func snapshotStep(src, dst string, readOnly bool) txn.Step {
	args := txn.Args{"src": src, "dst": dst}
	if readOnly {
		args["read-only"] = "yes"
	}
	return txn.Step{Kind: stepSnapshot, Args: args, Volatile: true}
}

func exchangeStep(uuid, from, to string) txn.Step {
	return txn.Step{Kind: stepExchange, Args: txn.Args{"uuid": uuid, "from": from, "to": to}}
}

func filesStep(from, to string) txn.Step {
	return txn.Step{Kind: stepFiles, Args: txn.Args{"from": from, "to": to}}
}

func renameStep(uuid, from, to string) txn.Step {
	return txn.Step{Kind: stepRename, Args: txn.Args{"uuid": uuid, "from": from, "to": to}}
}
