package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// Lab has the templates of the runs' machines.
type Lab struct {
	disk   *Disk
	inputs Inputs
	debs   map[Kind][]string // further packages of each kind of machine
	plans  map[string]Plan
}

// machine returns the subvolume of a machine that is ready for a workload. Its runs are
// snapshots of it.
func (l *Lab) machine(ctx context.Context, kind Kind, w Workload) (string, error) {
	name := fmt.Sprintf("machine-%s-%s", kind, w.Key)
	if _, err := os.Stat(l.disk.path(name)); err == nil {
		return name, nil
	}
	base, err := l.base(ctx, kind)
	if err != nil {
		return "", err
	}
	if err := l.disk.snapshot(base, name); err != nil {
		return "", err
	}
	root := l.disk.path(name)
	lists := filepath.Join(root, "var/lib/apt/lists")
	err = os.RemoveAll(lists)
	if err == nil {
		err = os.CopyFS(lists, os.DirFS(l.inputs.lists(w)))
	}
	if err == nil {
		err = os.MkdirAll(filepath.Join(lists, "partial"), 0o755)
	}
	var sources []byte
	if err == nil {
		sources, err = os.ReadFile(l.inputs.sources(w))
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(root, "etc/apt/sources.list"), sources, 0o644)
	}
	if err != nil {
		return "", fmt.Errorf("cannot make a machine: %w", err)
	}
	// So that apt's caches of these lists exist, as after "apt-get update".
	text, err := outputOf(l.disk.enter(ctx, name, l.inputs.archives(w), "apt-get", "-s", "-q", "dist-upgrade"))
	if err != nil {
		return "", err
	}
	if kind == KindStock {
		l.plans[w.Key] = parsePlan(text)
	}
	return name, syncFS(l.disk.top)
}

// plan returns the plan of a workload's upgrade on a machine without further packages.
func (l *Lab) plan(ctx context.Context, w Workload) (Plan, error) {
	if _, err := l.machine(ctx, KindStock, w); err != nil {
		return Plan{}, err
	}
	return l.plans[w.Key], nil
}

// base returns the subvolume of a machine of a kind, before the workload's sources are
// added.
func (l *Lab) base(ctx context.Context, kind Kind) (string, error) {
	name := "base-" + string(kind)
	if _, err := os.Stat(l.disk.path(name)); err == nil {
		return name, nil
	}
	if kind == KindStock {
		return name, l.unpack(name)
	}
	from, err := l.base(ctx, KindStock)
	if err != nil {
		return "", err
	}
	if err := l.disk.snapshot(from, name); err != nil {
		return "", err
	}
	if len(l.debs[kind]) == 0 {
		return "", fmt.Errorf("cannot make a machine: there is no package for %q", kind)
	}
	command := []string{"env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "-i"}
	for _, deb := range l.debs[kind] {
		inside := filepath.Join("/root", filepath.Base(deb))
		data, err := os.ReadFile(deb)
		if err == nil {
			err = os.WriteFile(filepath.Join(l.disk.path(name), inside), data, 0o644)
		}
		if err != nil {
			return "", fmt.Errorf("cannot make a machine: %w", err)
		}
		defer os.Remove(filepath.Join(l.disk.path(name), inside))
		command = append(command, inside)
	}
	_, err = outputOf(l.disk.enter(ctx, name, "", command...))
	return name, err
}

// unpack makes a machine from a root file system. No init runs there, so no service
// starts; policy-rc.d forbids it, too.
func (l *Lab) unpack(name string) error {
	if _, err := output("btrfs", "subvolume", "create", l.disk.path(name)); err != nil {
		return err
	}
	root := l.disk.path(name)
	_, err := output("tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-f", l.inputs.root(), "-C", root)
	if err != nil {
		return err
	}
	err = os.WriteFile(filepath.Join(root, "usr/sbin/policy-rc.d"), []byte("#!/bin/sh\nexit 101\n"), 0o755)
	if err == nil {
		line := fmt.Sprintf("UUID=%s / btrfs defaults,subvol=%s 0 0\n", l.disk.uuid, running)
		err = os.WriteFile(filepath.Join(root, "etc/fstab"), []byte(line), 0o644)
	}
	if err != nil {
		return fmt.Errorf("cannot make a machine: %w", err)
	}
	return nil
}

// eatmydata returns the files of Debian's eatmydata for the machine's release before
// the upgrade.
func eatmydata(archives string) ([]string, error) {
	var list []string
	for _, pattern := range []string{"libeatmydata1_*.deb", "eatmydata_*.deb"} {
		files, err := filepath.Glob(filepath.Join(archives, pattern))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("cannot find %s in %s (%v)", pattern, archives, err)
		}
		list = append(list, slices.Min(files))
	}
	return list, nil
}

// warm reads the packages of a workload, so that they are in memory before each run, as
// after a download.
func warm(archives string) error {
	files, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return err
	}
	for _, file := range files {
		if _, err := os.ReadFile(file); err != nil {
			return fmt.Errorf("cannot read a package: %w", err)
		}
	}
	return nil
}
