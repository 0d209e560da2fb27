package pkgdb

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestRead(t *testing.T) {
	root := makeRoot(t, map[string]string{
		"var/lib/dpkg/status": paragraph("dpkg", "amd64", "1.21", "install ok installed") +
			paragraph("tool", "amd64", "1:2.0-1", "install ok installed") +
			"Package: lib\nStatus: install ok installed\nArchitecture: amd64\nMulti-Arch: same\nVersion: 1\n\n" +
			"Package: lib\nStatus: install ok installed\nArchitecture: i386\nMulti-Arch: same\nVersion: 1\n\n" +
			paragraph("data", "all", "3", "deinstall ok config-files") +
			"package: odd\nSTATUS: install ok not-installed\narchitecture: amd64\n\n" +
			"Package: selected\nArchitecture: amd64",
		"var/lib/dpkg/updates/0000":  "Package: tool\nStatus: install ok unpacked\nArchitecture: all\nVersion: 1:2.1-1\n",
		"var/lib/dpkg/updates/0001":  "Package: lib\nStatus: install reinstreq half-installed\nArchitecture: i386\nMulti-Arch: same\nVersion: 2\n",
		"var/lib/dpkg/updates/0002":  "Package: tool\nStatus: install ok half-configured\nArchitecture: all\nVersion: 1:2.1-1\n",
		"var/lib/dpkg/updates/tmp.i": "#padding\nnonsense",
		"var/lib/apt/extended_states": "Package: tool\nArchitecture: amd64\nAuto-Installed: 1\n\n" +
			"Package: lib\nArchitecture: i386\nAuto-Installed: 1\n\n" +
			"Package: dpkg\nArchitecture: amd64\nAuto-Installed: 0\n",
	})
	db, err := Read(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []Package{
		{Name: "data", Arch: "all", Version: "3", Want: "deinstall", Flag: "ok", Status: "config-files"},
		{Name: "dpkg", Arch: "amd64", Version: "1.21", Want: "install", Flag: "ok", Status: "installed"},
		{Name: "lib", Arch: "amd64", Version: "1", Want: "install", Flag: "ok", Status: "installed"},
		{Name: "lib", Arch: "i386", Version: "2", Want: "install", Flag: "reinstreq", Status: "half-installed", Auto: true},
		{Name: "odd", Arch: "amd64", Want: "install", Flag: "ok", Status: "not-installed"},
		{Name: "selected", Arch: "amd64", Want: "unknown", Flag: "ok", Status: "not-installed"},
		{Name: "tool", Arch: "all", Version: "1:2.1-1", Want: "install", Flag: "ok", Status: "half-configured", Auto: true},
	}
	if diff := cmp.Diff(want, db.Packages, cmpopts.IgnoreUnexported(Package{})); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"lib:i386", "tool:all"}, namesOf(db.Broken())); diff != "" {
		t.Errorf("Broken (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"odd:amd64"}, namesOf(db.Unfinished())); diff != "" {
		t.Errorf("Unfinished (-want +got):\n%s", diff)
	}
}

func TestBrokenAndUnfinished(t *testing.T) {
	tests := []struct {
		status             string
		broken, unfinished bool
	}{
		{"install ok installed", false, false},
		{"hold ok installed", false, false},
		{"install reinstreq installed", true, false},
		{"install reinstreq half-installed", true, false},
		{"install ok unpacked", true, false},
		{"install ok half-configured", true, false},
		{"install ok triggers-awaited", true, false},
		{"install ok triggers-pending", true, false},
		{"install ok config-files", false, true},
		{"install ok not-installed", false, true},
		{"deinstall ok installed", false, true},
		{"deinstall ok half-configured", true, true},
		{"deinstall ok config-files", false, false},
		{"deinstall ok not-installed", false, false},
		{"purge ok installed", false, true},
		{"purge ok config-files", false, true},
		{"purge ok not-installed", false, false},
		{"unknown ok not-installed", false, false},
	}
	for _, test := range tests {
		db, err := Read(makeRoot(t, map[string]string{statusFile: paragraph("p", "all", "1", test.status)}))
		if err != nil {
			t.Fatal(err)
		}
		if got := len(db.Broken()) == 1; got != test.broken {
			t.Errorf("%s: broken is %t", test.status, got)
		}
		if got := len(db.Unfinished()) == 1; got != test.unfinished {
			t.Errorf("%s: unfinished is %t", test.status, got)
		}
	}
}

func TestReadRefusesDamage(t *testing.T) {
	for _, status := range []string{
		"no field at all\n",
		"Version: 1\n",
		paragraph("p", "all", "1", "install ok"),
		paragraph("p", "all", "1", "install ok perfect"),
		paragraph("p", "all", "1", "want ok installed"),
		"-----BEGIN PGP SIGNED MESSAGE-----\n\nPackage: p\n",
	} {
		if db, err := Read(makeRoot(t, map[string]string{statusFile: status})); err == nil {
			t.Errorf("%q was read as %v", status, db.Packages)
		}
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a root without dpkg: %v", err)
	}
}

// A root may contain anything at the place of its package database.
func TestReadStaysInRoot(t *testing.T) {
	outside := filepath.Join(makeRoot(t, map[string]string{"status": paragraph("secret", "all", "1", "install ok installed")}), "status")
	plant := map[string]func(file string) error{
		"absolute link": func(file string) error { return os.Symlink(outside, file) },
		"link upwards":  func(file string) error { return os.Symlink("../../../../.."+outside, file) },
		"pipe":          func(file string) error { return syscall.Mkfifo(file, 0o644) },
		"directory":     func(file string) error { return os.Mkdir(file, 0o755) },
		"link to self":  func(file string) error { return os.Symlink("status", file) },
	}
	for what, do := range plant {
		root := makeRoot(t, map[string]string{"var/lib/dpkg/available": ""})
		if err := do(filepath.Join(root, statusFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(root); err == nil {
			t.Errorf("%s: was read", what)
		}
		if _, err := Fingerprint(root); err == nil {
			t.Errorf("%s: has a fingerprint", what)
		}
		if _, err := Read(root); what == "absolute link" && !errors.Is(err, errLeavesRoot) {
			t.Errorf("%s: the error is %v", what, err)
		}
	}

	root := makeRoot(t, map[string]string{"state/dpkg/status": paragraph("p", "all", "1", "install ok installed"), "var/lib/x": ""})
	if err := os.Symlink("../../state/dpkg", filepath.Join(root, "var/lib/dpkg")); err != nil {
		t.Fatal(err)
	}
	if db, err := Read(root); err != nil || len(db.Packages) != 1 {
		t.Errorf("a relative link inside the root: %v, %v", db, err)
	}
}

func TestFingerprint(t *testing.T) {
	base := map[string]string{
		statusFile:                  "Package: p\n",
		extendedFile:                "",
		"var/lib/dpkg/updates/0001": "x",
	}
	with := func(change map[string]string) string {
		files := map[string]string{}
		for name, content := range base {
			files[name] = content
		}
		for name, content := range change {
			files[name] = content
			if content == "gone" {
				delete(files, name)
			}
		}
		sum, err := Fingerprint(makeRoot(t, files))
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	same := with(nil)
	if with(map[string]string{"var/lib/dpkg/available": "other", "var/log/apt/history.log": "other"}) != same {
		t.Error("files outside the database count")
	}
	seen := map[string]string{same: "the base"}
	for what, change := range map[string]map[string]string{
		"status":           {statusFile: "Package: q\n"},
		"status grows":     {statusFile: "Package: p\n\n"},
		"no status":        {statusFile: "gone"},
		"no marks":         {extendedFile: "gone"},
		"marks":            {extendedFile: "x"},
		"journal content":  {"var/lib/dpkg/updates/0001": "y"},
		"journal name":     {"var/lib/dpkg/updates/0001": "gone", "var/lib/dpkg/updates/0002": "x"},
		"journal grows":    {"var/lib/dpkg/updates/0002": ""},
		"journal is empty": {"var/lib/dpkg/updates/0001": "gone"},
	} {
		sum := with(change)
		if other, taken := seen[sum]; taken {
			t.Errorf("%s: same fingerprint as %s", what, other)
		}
		seen[sum] = what
	}
}
