package pkgdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"pault.ag/go/debian/control"
)

// The words of a Status field, in its order; dpkg refuses others.
func isStatus(words []string) bool {
	if len(words) != 3 {
		return false
	}
	switch words[0] {
	case "unknown", "install", "hold", "deinstall", "purge":
	default:
		return false
	}
	switch words[1] {
	case "ok", "reinstreq":
	default:
		return false
	}
	switch words[2] {
	case "not-installed", "config-files", "half-installed", "unpacked",
		"half-configured", "triggers-awaited", "triggers-pending", "installed":
		return true
	}
	return false
}

// recordSet has the packages of a root during the reading: for each name the instances
// of different architectures.
type recordSet struct {
	byName map[string][]Package
}

// load adds the packages of a status file.
func (s *recordSet) load(status []byte) error {
	s.byName = make(map[string][]Package, len(status)/1024)
	return eachPackage(status, func(p Package) { s.put(p, p.Arch) })
}

// override applies one file of dpkg's journal, whose records replace earlier ones. As
// in dpkg, a package that is not "Multi-Arch: same" replaces the single existing
// instance of any architecture: in this way it changes from amd64 to all.
func (s *recordSet) override(update []byte) error {
	return eachPackage(update, func(p Package) {
		arch := p.Arch
		if !p.multiArchSame {
			known := 0
			var last Package
			for _, q := range s.byName[p.Name] {
				if q.Status != "not-installed" {
					known, last = known+1, q
				}
			}
			if known == 1 {
				arch = last.Arch
			}
		}
		s.put(p, arch)
	})
}

// put makes p the instance of architecture arch.
func (s *recordSet) put(p Package, arch string) {
	instances := s.byName[p.Name]
	for i := range instances {
		if instances[i].Arch == arch {
			instances[i] = p
			return
		}
	}
	s.byName[p.Name] = append(instances, p)
}

// markAuto sets Auto from apt's extended_states. apt lists a package of architecture
// all under the native one.
func (s *recordSet) markAuto(extended []byte) error {
	native := ""
	for _, p := range s.byName["dpkg"] {
		if p.Present() {
			native = p.Arch
		}
	}
	return eachStanza(extended, func(stanza control.Paragraph) error {
		installed, _ := field(stanza, "Auto-Installed")
		auto := installed == "1"
		arch, _ := field(stanza, "Architecture")
		name, _ := field(stanza, "Package")
		instances := s.byName[name]
		for i := range instances {
			p := &instances[i]
			if arch == "" || p.Arch == arch || p.Arch == "all" && (native == "" || native == arch) {
				p.Auto = auto
			}
		}
		return nil
	})
}

func (s *recordSet) sorted() []Package {
	packages := make([]Package, 0, len(s.byName))
	for _, instances := range s.byName {
		packages = append(packages, instances...)
	}
	slices.SortFunc(packages, byNameAndArch)
	return packages
}

// eachPackage calls do with every record of a status or journal file.
func eachPackage(raw []byte, do func(Package)) error {
	return eachStanza(raw, func(stanza control.Paragraph) error {
		b := binaryOf(stanza)
		multiArch, _ := field(stanza, "Multi-Arch")
		p := Package{Name: b.Package, Arch: b.Arch, Version: b.Version, multiArchSame: multiArch == "same"}
		if p.Name == "" {
			return errors.New("a paragraph has no Package field")
		}
		status, found := field(stanza, "Status")
		if !found {
			status = "unknown ok not-installed"
		}
		words := strings.Fields(status)
		if !isStatus(words) {
			return fmt.Errorf("package %.80q has the status %.80q, which dpkg does not know", p.Name, status)
		}
		p.Want, p.Flag, p.Status = words[0], words[1], words[2]
		do(p)
		return nil
	})
}
