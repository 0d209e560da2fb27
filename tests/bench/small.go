package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Small has the times of small commands on a machine with some boot environments: all
// times of each command, in seconds.
type Small struct {
	Environments int                  `json:"environments"`
	Setup        string               `json:"setup"`
	Times        map[string][]float64 `json:"times"`
	Failed       map[string]string    `json:"failed,omitempty"`
}

// The commands, by their names in the results, in the order of the repetitions. Each
// command of apt-be is next to the raw operation of btrfs.
const (
	rawCreate, ourCreate   = "btrfs subvolume snapshot", "apt-be create"
	rawList, ourList       = "btrfs subvolume list", "apt-be list"
	rawDestroy, ourDestroy = "btrfs subvolume delete", "apt-be destroy"
	ourSizesWarm           = "apt-be list -s, warm"
	ourSizesCold           = "apt-be list -s, cold"
)

func smallCommands() []struct {
	name    string
	command []string
} {
	return []struct {
		name    string
		command []string
	}{
		{rawCreate, []string{"btrfs", "-q", "subvolume", "snapshot", "/", "/raw"}},
		{rawList, []string{"btrfs", "subvolume", "list", "/"}},
		{rawDestroy, []string{"btrfs", "-q", "subvolume", "delete", "/raw"}},
		{ourCreate, []string{"apt-be", "create", "measured"}},
		{ourList, []string{"apt-be", "list"}},
		{ourDestroy, []string{"apt-be", "destroy", "measured"}},
	}
}

// measureSmall runs the small commands on a machine with a number of environments,
// which differ from each other and from the running system.
func (l *Lab) measureSmall(ctx context.Context, environments, rounds int) (s Small, err error) {
	s = Small{Environments: environments, Times: map[string][]float64{}, Failed: map[string]string{}}
	base, err := l.base(ctx, KindBE)
	if err == nil {
		err = l.disk.clear()
	}
	if err == nil {
		err = l.disk.snapshot(base, running)
	}
	if err == nil {
		err = l.install(l.disk.path(running))
	}
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, l.disk.clear()) }()
	create := fmt.Sprintf("for i in $(seq %d); do apt-be -q create made-$i || exit; done", environments)
	if _, err := outputOf(l.disk.enter(ctx, running, "", "sh", "-ec", create)); err != nil {
		return s, err
	}
	for round := range rounds {
		made, err := filepath.Glob(l.disk.path("@be/made-*"))
		if err != nil || len(made) != environments {
			return s, fmt.Errorf("there are %d environments, want %d (%v)", len(made), environments, err)
		}
		for _, root := range made {
			if err := rewrite(root, round); err != nil {
				return s, err
			}
		}
		err = syncFS(l.disk.top)
		if err == nil {
			err = os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200)
		}
		var text string
		if err == nil {
			text, err = outputOf(l.disk.enter(ctx, running, "", "/root/bench", "inside"))
		}
		var times Small
		if err == nil {
			err = json.Unmarshal([]byte(text), &times)
		}
		if err != nil {
			return s, err
		}
		for name, list := range times.Times {
			s.Times[name] = append(s.Times[name], list...)
		}
		for name, why := range times.Failed {
			s.Failed[name] = why
		}
	}
	return s, nil
}

// install copies this program to a root.
func (l *Lab) install(root string) error {
	self, err := os.ReadFile("/proc/self/exe")
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "root/bench"), self, 0o755)
	}
	if err != nil {
		return fmt.Errorf("cannot copy the bench into a machine: %w", err)
	}
	return nil
}

// rewrite writes one in fifty files of the root again, different ones in each round, so
// that they are not shared.
func rewrite(root string, round int) error {
	i := 0
	err := filepath.WalkDir(filepath.Join(root, "usr"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		i++
		if i%50 != round%50 {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(data)
		return errors.Join(err, f.Close())
	})
	if err != nil {
		return fmt.Errorf("cannot change an environment: %w", err)
	}
	return nil
}

// inside runs the small commands in this process's machine, and prints the times as
// JSON.
func inside(w io.Writer) error {
	s := Small{Times: map[string][]float64{}, Failed: map[string]string{}}
	measure := func(name string, command []string) {
		var messages strings.Builder
		c := exec.Command(command[0], command[1:]...)
		c.Stderr = &messages
		started := time.Now()
		err := c.Run()
		took := time.Since(started).Seconds()
		if err != nil {
			s.Failed[name] = fmt.Sprintf("%v: %s", err, strings.TrimSpace(messages.String()))
			return
		}
		s.Times[name] = append(s.Times[name], took)
	}
	measure(ourSizesCold, []string{"apt-be", "list", "-s"})
	const times = 5
	for range times {
		measure(ourSizesWarm, []string{"apt-be", "list", "-s"})
	}
	for range times {
		for _, c := range smallCommands() {
			measure(c.name, c.command)
		}
	}
	return json.NewEncoder(w).Encode(s)
}

// smallTable returns the medians in Markdown, with a line for each command and a column
// for each number of environments. For each number the last result counts.
func smallTable(results []Small) string {
	last := map[int]Small{}
	var numbers []int
	for _, s := range results {
		if _, ok := last[s.Environments]; !ok {
			numbers = append(numbers, s.Environments)
		}
		last[s.Environments] = s
	}
	head := []string{""}
	for _, n := range numbers {
		head = append(head, fmt.Sprintf("%d", n))
	}
	cells := [][]string{head}
	for _, name := range []string{rawCreate, ourCreate, rawDestroy, ourDestroy, rawList, ourList, ourSizesCold, ourSizesWarm} {
		row := []string{name}
		for _, n := range numbers {
			times := last[n].Times[name]
			if len(times) == 0 {
				row = append(row, "failed")
				continue
			}
			row = append(row, fmt.Sprintf("%.0f ms", median(times)*1000))
		}
		cells = append(cells, row)
	}
	return markdown(cells)
}
