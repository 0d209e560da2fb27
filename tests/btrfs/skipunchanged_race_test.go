package btrfs_test

import (
	"path/filepath"
	"testing"

	"github.com/apt-be/apt-be/tests/btrfs/machine"
)

// meanwhile returns a script that runs another script while dpkg extracts a package
// and has read a part of it.
func meanwhile(script string) string {
	return `cat >/usr/local/bin/dpkg-deb <<'END' && chmod 755 /usr/local/bin/dpkg-deb
#!/bin/sh
[ "$1" = --fsys-tarfile ] || exec /usr/bin/dpkg-deb "$@"
/usr/bin/dpkg-deb "$@" | { head -c 100000; sleep 0.3; ` + script + `; cat; }
END
`
}

// testSkipRace changes the old file in a part that was compared already, while dpkg
// extracts the new file. Then the file must have the new content, or dpkg must fail.
func testSkipRace(t *testing.T, image *machine.Image, variant skipper) {
	defer image.Clear(t, skipBase)
	const name = "/usr/lib/skip/f"
	large := noise(largeSize, 2)
	before, after := skipPackage("1.0", regular(name, large)), skipPackage("2.0", regular(name, large))
	m := image.Start(t, skipBase, skipRun)
	m.Shell(t, "mkdir "+skipDebs)
	debs := m.Path(skipDebs)
	m.Shell(t, "dpkg -i "+filepath.Join(skipDebs, writeDeb(t, before, debs)))
	want := m.Shell(t, "sha256sum "+name)
	file := writeDeb(t, after, debs)
	m.Shell(t, meanwhile("printf changed | dd of="+name+" bs=1 seek=5000 conv=notrunc 2>/dev/null"))
	result := m.Run(t, machine.Command{Args: append(append([]string{}, variant.command...), "-i", filepath.Join(skipDebs, file))})
	is := m.Shell(t, "sha256sum "+name)
	if result.Status == 0 && is != want {
		t.Errorf("dpkg says that all is well, but the file is not the package's:\n%s", result.Output)
	}
	if result.Status != 0 && is == want {
		t.Errorf("status %d, but the file was never changed:\n%s", result.Status, result.Output)
	}
	m.Stop(t)
}
