package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// Plan is the plan of an upgrade, as "apt-get -s" prints it.
type Plan struct {
	// Installs has the new version of each package, by name and architecture.
	Installs map[string]string
	// Removes are the packages that the upgrade removes.
	Removes []string
}

// instLine and remvLine are those of "apt-get -s":
//
//	Inst libc6 [2.36-9] (2.41-12 Debian:13.1/stable [amd64]) [...]
//	Remv libfoo1 [1.0-1]
var (
	instLine = regexp.MustCompile(`(?m)^Inst (\S+) (?:\[\S+\] )?\((\S+) .*?\[(\w+)\]\)`)
	remvLine = regexp.MustCompile(`(?m)^Remv (\S+) `)
)

// parsePlan reads the output of "apt-get -s".
func parsePlan(text string) Plan {
	p := Plan{Installs: map[string]string{}}
	for _, match := range instLine.FindAllStringSubmatch(text, -1) {
		p.Installs[bare(match[1])+":"+match[3]] = match[2]
	}
	for _, match := range remvLine.FindAllStringSubmatch(text, -1) {
		p.Removes = append(p.Removes, bare(match[1]))
	}
	return p
}

// bare returns a package's name without an architecture.
func bare(name string) string {
	name, _, _ = strings.Cut(name, ":")
	return name
}

// files returns the size in bytes of the plan's packages in a directory, by apt's file
// names. It fails if one is missing, because a run has no network.
func (p Plan) files(archives string) (bytes int64, err error) {
	for name, version := range p.Installs {
		pkg, arch, _ := strings.Cut(name, ":")
		file := filepath.Join(archives, fmt.Sprintf("%s_%s_%s.deb", pkg, strings.ReplaceAll(version, ":", "%3a"), arch))
		info, err := os.Stat(file)
		if err != nil {
			return 0, fmt.Errorf("cannot find a package: %w", err)
		}
		bytes += info.Size()
	}
	return bytes, nil
}

// installed reads a dpkg status file. It returns the version of each installed package,
// by name and architecture.
func installed(root string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(root, "var/lib/dpkg/status"))
	if err != nil {
		return nil, fmt.Errorf("cannot read what is installed: %w", err)
	}
	return parseStatus(string(data)), nil
}

func parseStatus(text string) map[string]string {
	versions := map[string]string{}
	for _, paragraph := range strings.Split(text, "\n\n") {
		fields := map[string]string{}
		for _, line := range strings.Split(paragraph, "\n") {
			if name, value, ok := strings.Cut(line, ": "); ok && !strings.HasPrefix(line, " ") {
				fields[name] = value
			}
		}
		if strings.HasSuffix(fields["Status"], " installed") {
			versions[fields["Package"]+":"+fields["Architecture"]] = fields["Version"]
		}
	}
	return versions
}

// Changes returns the number of packages that the upgrade changes.
type Changes struct{ Upgraded, New, Removed int }

func changes(before, after map[string]string) Changes {
	var c Changes
	for name, version := range after {
		switch was, ok := before[name]; {
		case !ok:
			c.New++
		case was != version:
			c.Upgraded++
		}
	}
	for name := range before {
		if _, ok := after[name]; !ok {
			c.Removed++
		}
	}
	return c
}

// check fails if a package differs from the plan.
func (p Plan) check(after map[string]string) error {
	for name, version := range p.Installs {
		if after[name] != version {
			return fmt.Errorf("%s is %q, want %q", name, after[name], version)
		}
	}
	names := map[string]bool{}
	for name := range after {
		names[bare(name)] = true
	}
	for _, name := range p.Removes {
		if names[name] {
			return fmt.Errorf("%s is still there", name)
		}
	}
	return nil
}

// checkKernels fails if a root has no kernel, or a kernel without an initrd.
func checkKernels(root string) error {
	kernels, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil || len(kernels) == 0 {
		return fmt.Errorf("no kernel (%v)", err)
	}
	for _, kernel := range kernels {
		version := strings.TrimPrefix(filepath.Base(kernel), "vmlinuz-")
		info, err := os.Stat(filepath.Join(root, "boot", "initrd.img-"+version))
		if err != nil {
			return err
		}
		if info.Size() < 1<<20 {
			return fmt.Errorf("the initrd of %s has %d bytes", version, info.Size())
		}
		if _, err := os.Stat(filepath.Join(root, "usr/lib/modules", version, "modules.dep")); err != nil {
			return err
		}
	}
	return nil
}
