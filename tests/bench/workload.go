package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// Workload is an upgrade.
type Workload struct {
	Key   string
	Title string
}

// workloads returns the workloads of the tables.
func workloads() []Workload {
	return []Workload{
		{"release", "from one Debian release to the next"},
		{"security", "all security updates since the last point release, with a new kernel"},
		{"rebuild", "the same versions built again: only changelogs differ"},
	}
}

// parseWorkloads parses a list of keys, separated by commas.
func parseWorkloads(text string) ([]Workload, error) {
	if text == "" {
		return workloads(), nil
	}
	var list []Workload
next:
	for _, key := range strings.Split(text, ",") {
		for _, w := range workloads() {
			if w.Key == key {
				list = append(list, w)
				continue next
			}
		}
		return nil, fmt.Errorf("cannot find the workload %q: there are release, security, rebuild", key)
	}
	return list, nil
}

// Inputs are the results of tests/bench/build-roots and build-rebuild.
type Inputs struct {
	Roots   string // the directory that build-roots printed
	Rebuild string // the directory that build-rebuild printed; "" if no workload needs it
}

// root returns the archive of the root file system.
func (in Inputs) root() string { return filepath.Join(in.Roots, "root.tar") }

// sources and lists return the sources and package lists of a workload's machine.
func (in Inputs) sources(w Workload) string { return filepath.Join(in.of(w), "sources") }
func (in Inputs) lists(w Workload) string   { return filepath.Join(in.of(w), "lists") }

func (in Inputs) of(w Workload) string {
	if w.Key == "rebuild" {
		return in.Rebuild
	}
	return filepath.Join(in.Roots, w.Key)
}

// archives returns the directory of the packages that a workload installs.
func (in Inputs) archives(w Workload) string {
	if w.Key == "rebuild" {
		return filepath.Join(in.Rebuild, "archives")
	}
	return filepath.Join(in.Roots, "archives")
}
