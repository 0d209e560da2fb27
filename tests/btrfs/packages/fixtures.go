package packages

import (
	"fmt"
	"os"
	"path/filepath"
)

// Variant is an archive that holds newer versions of what is installed.
type Variant string

const (
	// Good: everything upgrades. One library is removed, another is installed.
	Good Variant = "good"
	// PostinstFails: one package is unpacked but cannot be configured.
	PostinstFails Variant = "postinst-fails"
	// PreinstFails: one package cannot be unpacked.
	PreinstFails Variant = "preinst-fails"
	// SlowPostinst: the postinst of one package sleeps for Nap.
	SlowPostinst Variant = "slow-postinst"
	// SlowPreinst: the preinst of the first package that apt unpacks sleeps for Nap.
	// So does the preinst of a package that unattended-upgrades does not keep back.
	SlowPreinst Variant = "slow-preinst"
	// Asks: one package asks a debconf question.
	Asks Variant = "asks"
	// Large: the Installed-Size of one package is LargeSize.
	Large Variant = "large"
	// Hungry: the postinst of one package writes to HungryFile until the file system
	// is full.
	Hungry Variant = "hungry"
	// Crowded: the postinst of one package makes small files until the file system is
	// full.
	Crowded Variant = "crowded"
	// Empty: nothing newer.
	Empty Variant = "empty"
)

// LargeSize is the Installed-Size in the archive Large, in bytes.
const LargeSize = 3 << 30

// HungryFile is the file that fills the file system.
const HungryFile = "/var/lib/bt-hungry"

// Nap is the argument of sleep(1) in the slow variants, in seconds. No other process
// sleeps for this number, so tests find the process by it.
const Nap = "6.125"

// Dir is the directory of the archives in a machine's root.
const Dir = "/srv/bt"

// Installed is the directory below Dir with the archive of the first versions.
const Installed = "installed"

// Auto is the package that is installed automatically, as a dependency. A full
// upgrade replaces it by New.
const (
	Auto = "bt-oldlib"
	New  = "bt-newlib"
)

// Manual names the manually installed packages. All of them have newer versions in
// Good.
func Manual() []string {
	return []string{"bt-app", "bt-conf", "bt-dconf", "bt-fault",
		"bt-many1", "bt-many2", "bt-many3", "bt-many4", "bt-many5", "bt-svc", "bt-trig"}
}

// Build writes the archives below dir, which is Dir in a root.
func Build(dir string) error {
	if err := build(filepath.Join(dir, Installed), first()); err != nil {
		return err
	}
	nap := "#!/bin/sh\nsleep " + Nap + "\n"
	faults := map[Variant]deb{
		Good:          fault("2.0", nil),
		PostinstFails: fault("2.0", map[string]string{"postinst": "#!/bin/sh\necho bt-fault: cannot configure\nexit 1\n"}),
		PreinstFails:  fault("2.0", map[string]string{"preinst": "#!/bin/sh\necho bt-fault: cannot unpack\nexit 1\n"}),
		SlowPostinst:  fault("2.0", map[string]string{"postinst": nap}),
		SlowPreinst:   fault("2.0", map[string]string{"preinst": nap}),
		Large:         large(),
		Crowded: fault("2.0", map[string]string{"postinst": `#!/usr/bin/python3
import itertools, os
os.mkdir("/var/lib/bt-crowd")
for n in itertools.count():
    with open("/var/lib/bt-crowd/%d" % n, "w") as f:
        f.write("x" * 2000)
`}),
		Hungry: fault("2.0", map[string]string{"postinst": "#!/bin/sh\ndd if=/dev/zero of=" + HungryFile + " bs=1M\n"}),
	}
	for variant, faulty := range faults {
		debs := append(second(), faulty)
		if variant == SlowPreinst {
			for i := range debs {
				if debs[i].name == "bt-app" {
					debs[i].control = faulty.control
				}
			}
		}
		if err := build(filepath.Join(dir, string(variant)), debs); err != nil {
			return err
		}
	}
	if err := build(filepath.Join(dir, string(Asks)), append(second(), asking())); err != nil {
		return err
	}
	if err := buildNights(dir); err != nil {
		return err
	}
	return build(filepath.Join(dir, string(Empty)), nil)
}

func build(dir string, debs []deb) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make archive: %w", err)
	}
	for _, d := range debs {
		if err := d.build(dir); err != nil {
			return err
		}
	}
	return archive(dir, debs)
}

// Source returns the line of sources.list for an archive.
func Source(variant Variant) string {
	return fmt.Sprintf("deb [trusted=yes] file:%s/%s ./\n", Dir, variant)
}

// first returns the packages of the archive Installed.
func first() []deb {
	return append(common("1.0"),
		deb{name: "bt-app", version: "1.0", fields: []string{"Depends: " + Auto}, files: app("1.0")},
		deb{name: Auto, version: "1.0", files: map[string]string{"/usr/share/bt/oldlib": "old\n"}},
		deb{name: "bt-dconf", version: "1.0"},
		fault("1.0", nil),
		mta("1.0"),
		rebooter("1.0"),
	)
}

// second returns the newer packages that every archive except Empty contains.
func second() []deb {
	return append(common("2.0"),
		deb{name: "bt-app", version: "2.0", fields: []string{"Depends: " + New}, files: app("2.0")},
		deb{name: New, version: "1.0", fields: []string{"Conflicts: " + Auto, "Replaces: " + Auto},
			files: map[string]string{"/usr/share/bt/newlib": "new\n"}},
	)
}

func app(version string) map[string]string {
	return map[string]string{
		"/usr/share/bt/app":  version + "\n",
		"/usr/share/bt/same": "the same in every version\n",
	}
}

func fault(version string, control map[string]string) deb {
	return deb{name: "bt-fault", version: version, control: control,
		files: map[string]string{"/usr/share/bt/fault": version + "\n"}}
}

func large() deb {
	d := fault("2.0", nil)
	d.fields = []string{fmt.Sprintf("Installed-Size: %d", LargeSize>>10)}
	return d
}

// common returns the packages whose versions differ only in the content of files.
func common(version string) []deb {
	debs := []deb{
		{name: "bt-conf", version: version, files: map[string]string{"/etc/bt-conf.conf": "version = " + version + "\n"}},
		service(version),
		trigger(version),
		places(version),
	}
	for i := 1; i <= 5; i++ {
		name := fmt.Sprintf("bt-many%d", i)
		debs = append(debs, deb{name: name, version: version,
			files: map[string]string{"/usr/share/bt-trig/" + name: version + "\n"}})
	}
	return debs
}

// Places is a package that is not installed at first. It has a file in each of
// PlaceDirs.
const Places = "bt-places"

// PlaceDirs are directories that may be separate file systems.
func PlaceDirs() []string {
	return []string{"/opt/bt", "/srv/bt-place", "/var/cache/bt", "/var/lib/bt-bind", "/usr/share/bt-place"}
}

func places(version string) deb {
	d := deb{name: Places, version: version, files: map[string]string{}}
	for _, dir := range PlaceDirs() {
		d.files[dir+"/place"] = version + "\n"
		d.files[dir+"/same"] = "same\n"
	}
	return d
}

// service returns a package whose maintainer script starts a daemon. The daemon
// writes /run/bt-svc.
func service(version string) deb {
	return deb{name: "bt-svc", version: version,
		files: map[string]string{
			"/etc/init.d/bt-svc": "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: bt-svc\n# Required-Start:\n# Required-Stop:\n" +
				"# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\necho \"$1\" >>/run/bt-svc\n",
			"/lib/systemd/system/bt-svc.service": "[Service]\nExecStart=/bin/sleep infinity\n\n[Install]\nWantedBy=multi-user.target\n",
			"/usr/share/bt/svc":                  version + "\n",
		},
		control: map[string]string{"postinst": "#!/bin/sh\nset -e\nupdate-rc.d bt-svc defaults >/dev/null\n" +
			"invoke-rc.d --skip-systemd-native bt-svc restart\n"},
	}
}

// trigger returns a package with a file trigger. Whenever files of the bt-many
// packages change, it records their content.
func trigger(version string) deb {
	return deb{name: "bt-trig", version: version,
		files: map[string]string{"/usr/share/bt/trig": version + "\n"},
		control: map[string]string{
			"triggers": "interest-noawait /usr/share/bt-trig\n",
			"postinst": "#!/bin/sh\nset -e\nmkdir -p /var/lib/bt-trig\n" +
				"cat /usr/share/bt-trig/* >/var/lib/bt-trig/seen\n",
		},
	}
}

// asking returns a package that asks, by debconf, for a colour and writes the answer
// to /var/lib/bt-dconf.
func asking() deb {
	return deb{name: "bt-dconf", version: "2.0", fields: []string{"Depends: debconf"},
		control: map[string]string{
			"templates": "Template: bt-dconf/colour\nType: string\nDefault: blue\nDescription: Which colour?\n It has to be one.\n",
			"config":    "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_input critical bt-dconf/colour || true\ndb_go || true\n",
			"postinst": "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_get bt-dconf/colour\n" +
				"echo \"$RET\" >/var/lib/bt-dconf\n",
		},
	}
}
