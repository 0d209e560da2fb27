package be

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/apt-be/apt-be/internal/durable"
	"github.com/apt-be/apt-be/internal/store"
	"github.com/apt-be/apt-be/internal/txn"
)

// The kinds of steps that transactions on the registry are made of.
const (
	stepSnapshot = "snapshot" // src, dst, read-only
	stepRename   = "rename"   // from, to
	stepRecord   = "record"   // uuid, old, new: JSON, or "" for none
)

func (r *Registry) handlers() txn.Handlers {
	return txn.Handlers{
		stepSnapshot: {
			Do: func(_ context.Context, a txn.Args) error {
				return r.store.Snapshot(a["src"], a["dst"], a["read-only"] == "yes")
			},
			Undo: func(_ context.Context, a txn.Args) error { return r.destroy(a["dst"]) },
		},
		stepRename: {
			Do: func(_ context.Context, a txn.Args) error { return r.store.Rename(a["from"], a["to"]) },
			Undo: func(_ context.Context, a txn.Args) error {
				err := r.store.Rename(a["to"], a["from"])
				if errors.Is(err, store.ErrNotFound) {
					return nil // it never happened
				}
				return err
			},
			Happened: func(_ context.Context, a txn.Args) (bool, error) {
				_, err := r.store.Get(a["from"])
				if err == nil {
					return false, nil
				}
				if !errors.Is(err, store.ErrNotFound) {
					return false, err
				}
				_, err = r.store.Get(a["to"])
				if errors.Is(err, store.ErrNotFound) {
					return false, nil
				}
				return err == nil, err
			},
		},
		stepRecord: {
			Do:   func(_ context.Context, a txn.Args) error { return r.putRecord(a["uuid"], a["new"]) },
			Undo: func(_ context.Context, a txn.Args) error { return r.putRecord(a["uuid"], a["old"]) },
		},
	}
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
	return r.save(record)
}

// recordStep replaces old, or nothing, by new, or nothing.
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
	return txn.Step{Kind: stepRecord, Args: args}, nil
}

func snapshotStep(src, dst string, readOnly bool) txn.Step {
	args := txn.Args{"src": src, "dst": dst}
	if readOnly {
		args["read-only"] = "yes"
	}
	return txn.Step{Kind: stepSnapshot, Args: args}
}

func renameStep(from, to string) txn.Step {
	return txn.Step{Kind: stepRename, Args: txn.Args{"from": from, "to": to}}
}
