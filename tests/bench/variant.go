package main

import (
	"fmt"
	"reflect"
	"strings"
	"unicode"

	"github.com/apt-be/apt-be/aptconf"
)

// Variant is a way to do an upgrade.
type Variant struct {
	// Key is its name on the command line and in results.
	Key string
	// Title is its name in tables.
	Title string
	// Kind is the kind of its machine.
	Kind Kind
	// Prefix is a command that runs apt-get.
	Prefix []string
	// Options are further options of apt-get.
	Options []string
}

// Kind is the set of packages that a machine has in addition to its workload's root.
type Kind string

// The kinds of machines.
const (
	KindStock     Kind = "stock"     // no packages
	KindEatmydata Kind = "eatmydata" // Debian's eatmydata
	KindBE        Kind = "be"        // apt-be
	KindPreload   Kind = "preload"   // apt-be and apt-be-skip-unchanged
	KindPatched   Kind = "patched"   // apt-be and dpkg-skip-unchanged
)

// isolated reports whether such a machine upgrades in a boot environment.
func (k Kind) isolated() bool { return k == KindBE || k == KindPreload || k == KindPatched }

// Keys of the variants for comparison.
const (
	keyStock   = "stock"
	keyPlain   = "plain"
	keyDefault = "default"
)

// variants returns the variants of the tables. All others are compared with the first.
func variants() []Variant {
	return []Variant{
		{Key: keyStock, Title: "in place", Kind: KindStock},
		{Key: "eatmydata", Title: "in place, eatmydata", Kind: KindEatmydata, Prefix: []string{"eatmydata"}},
		{Key: keyPlain, Title: "environment, no speed-ups", Kind: KindBE, Options: []string{"-o", "Apt-Be::Speed=false"}},
		{Key: keyDefault, Title: "environment", Kind: KindBE},
		{Key: "preload", Title: "environment, preload library", Kind: KindPreload},
		{Key: "patched", Title: "environment, patched dpkg", Kind: KindPatched},
	}
}

// switches are the items of Apt-Be::Speed::, by name.
func switches() []string {
	fields := reflect.TypeFor[aptconf.Speed]()
	var names []string
	for i := range fields.NumField() {
		var name strings.Builder
		for j, r := range fields.Field(i).Name {
			if j > 0 && unicode.IsUpper(r) {
				name.WriteByte('-')
			}
			name.WriteRune(r)
		}
		names = append(names, name.String())
	}
	return names
}

// speedVariants returns each speed-up alone, and all without each. The switch of the
// preload library has no effect without the library, so its machines have it.
func speedVariants() []Variant {
	var list []Variant
	for _, v := range variants() {
		if v.Key == keyStock || v.Key == keyPlain || v.Key == keyDefault {
			list = append(list, v)
		}
	}
	for _, name := range switches() {
		item := "Apt-Be::Speed::" + name
		kind := KindBE
		if name == "Skip-Unchanged" {
			kind = KindPreload
		}
		list = append(list,
			Variant{Key: "only-" + name, Title: "only " + name, Kind: kind, Options: []string{"-o", "Apt-Be::Speed=false", "-o", item + "=true"}},
			Variant{Key: "without-" + name, Title: "all but " + name, Kind: kind, Options: []string{"-o", item + "=false"}})
	}
	return list
}

// parseVariant parses a variant of the command line: the key of a known one, or
// KEY=OPTIONS for a machine with apt-be, with options of apt-get without spaces.
func parseVariant(text string) (Variant, error) {
	key, options, own := strings.Cut(text, "=")
	if own {
		if key == "" || strings.ContainsAny(key, "/ |") {
			return Variant{}, fmt.Errorf("cannot name a variant %q", key)
		}
		return Variant{Key: key, Title: key, Kind: KindBE, Options: strings.Fields(options)}, nil
	}
	known := append(variants(), speedVariants()...)
	var keys []string
	for _, v := range known {
		if v.Key == key {
			return v, nil
		}
		keys = append(keys, v.Key)
	}
	return Variant{}, fmt.Errorf("cannot find the variant %q: there are %s", key, strings.Join(keys, ", "))
}

// command returns the machine's command for the upgrade.
func (v Variant) command() []string {
	command := []string{"env", "DEBIAN_FRONTEND=noninteractive"}
	command = append(command, v.Prefix...)
	// No user can answer questions about changed configuration files.
	command = append(command, "apt-get", "-q", "-y", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold")
	command = append(command, v.Options...)
	return append(command, "dist-upgrade")
}
