package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Result is the result of one run. Times are in seconds, sizes in bytes.
type Result struct {
	Workload string `json:"workload"`
	Variant  string `json:"variant"`
	Title    string `json:"title"`
	Options  string `json:"options,omitempty"`
	Round    int    `json:"round"`
	// Setup is a hash of the inputs: the roots and the packages.
	Setup string `json:"setup"`
	At    string `json:"at"`
	// Failed is the reason why the run does not count, or "".
	Failed string `json:"failed,omitempty"`

	Wall     float64 `json:"wall"`      // of the command
	SyncWall float64 `json:"sync_wall"` // of the syncfs(2) after it
	User     float64 `json:"user"`
	System   float64 `json:"system"`
	Written  int64   `json:"written"`
	Syncs    uint64  `json:"syncs"` // calls that reached btrfs (syncPoints)

	Data     int64 `json:"data"`     // growth
	Metadata int64 `json:"metadata"` // growth, each copy counted once

	Minimum   int64   `json:"minimum"`
	Same      int     `json:"same"`
	SameBytes int64   `json:"same_bytes"`
	Changes   Changes `json:"changes"`
	DebBytes  int64   `json:"deb_bytes"`
}

// ID identifies the job of the run.
func (r Result) ID() string {
	return fmt.Sprintf("%s/%s/%d/%s", r.Workload, r.Variant, r.Round, r.Setup)
}

// readResults reads the lines of a file of results. Before the first run the file does
// not exist. It ignores an incomplete line.
func readResults[T any](file string) ([]T, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read results: %w", err)
	}
	defer f.Close()
	var list []T
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var r T
		if json.Unmarshal(lines.Bytes(), &r) == nil {
			list = append(list, r)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("cannot read results: %w", err)
	}
	return list, nil
}

// appendResult appends a line to a file of results.
func appendResult(file string, result any) error {
	line, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("cannot keep a result: %w", err)
	}
	f, err := os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot keep a result: %w", err)
	}
	// The newline first ends an incomplete line.
	_, err = f.Write(append(append([]byte("\n"), line...), '\n'))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot keep a result: %w", err)
	}
	return nil
}

// counted returns the results for the tables: successful ones of the newest setup, for
// each workload and variant; for each round the last one.
func counted(all []Result) []Result {
	setups := map[string]string{}
	for _, r := range all {
		setups[r.Workload+"/"+r.Variant] = r.Setup
	}
	place := map[string]int{}
	var list []Result
	for _, r := range all {
		if r.Failed != "" || r.Setup != setups[r.Workload+"/"+r.Variant] {
			continue
		}
		if i, ok := place[r.ID()]; ok {
			list[i] = r
			continue
		}
		place[r.ID()] = len(list)
		list = append(list, r)
	}
	return list
}
