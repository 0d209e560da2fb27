package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/apt-be/apt-be/tests/hostile"
)

const (
	// Hostile contains a newer version of HostilePackage. Its maintainer scripts make
	// the attempts of package hostile that HostileChoice names, or by default all
	// that do not end the sandbox.
	Hostile Variant = "hostile"
	// HostilePackage is the package with the attempts. BuildHostile writes a first
	// version without attempts to HostileFirst.
	HostilePackage         = "bt-hostile"
	HostileFirst   Variant = "hostile-first"
)

// HostileChoice is a file of a root with the names of the attempts to make, one per
// line. Without the file, or if it is empty, the scripts make all attempts that do
// not end the sandbox.
const HostileChoice = "/etc/bt-hostile-choice"

// BuildHostile writes the archives Hostile and HostileFirst below dir, which is Dir
// in a root. program is the file that hostile.Build makes.
func BuildHostile(dir string, program []byte) error {
	script := func(name, walls string) string {
		lines := hostile.Results + "/" + name
		return "#!/bin/sh\n[ -x " + hostile.Program + " ] || exit 0\n" +
			"if [ -s " + HostileChoice + " ]; then\n" +
			"\t[ " + name + " = postinst ] || exit 0\n" +
			"\twhile read -r attempt; do " + hostile.Program + " to " + lines + " one \"$attempt\" </dev/null; done <" + HostileChoice + "\n" +
			"else\n\t" + hostile.Program + " to " + lines + " all " + walls + " >&2\nfi\nexit 0\n" // debconf reads what a config script prints
	}
	const few = "pid1 exe journal descriptors namespaces cgroup"
	for variant, version := range map[Variant]string{HostileFirst: "1.0", Hostile: "2.0"} {
		e := Exact{
			Name: HostilePackage, Version: version, Time: time.Unix(1700000000, 0),
			Members: []Member{{Name: hostile.Program, Mode: 0o755, Content: program}},
		}
		if variant == Hostile {
			e.Fields = []string{"Depends: debconf"}
			e.Control = map[string]string{
				// apt runs the script on apt's own terminal.
				"config":    script("config", few+" terminal"),
				"templates": "Template: bt-hostile/nothing\nType: string\nDescription: Nothing?\n It is never asked.\n",
				"preinst":   script("preinst", few),
				"postinst":  script("postinst", ""),
			}
		}
		at := filepath.Join(dir, string(variant))
		if err := os.MkdirAll(at, 0o755); err != nil {
			return fmt.Errorf("cannot make archive: %w", err)
		}
		if _, err := e.Write(at); err != nil {
			return err
		}
		if err := archive(at, []deb{{name: e.Name, version: e.Version, fields: e.Fields}}); err != nil {
			return err
		}
	}
	return nil
}
