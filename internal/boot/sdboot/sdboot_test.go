package sdboot

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
)

var update = flag.Bool("update", false, "write the golden files anew")

func entry() boot.Entry {
	return boot.Entry{
		Name:          "2026-11-20",
		Title:         "Debian GNU/Linux 13 (trixie), 2026-11-20",
		FSUUID:        "6f0a1c2e-8d6b-4b1c-9d2f-2f4f3c9f1a77",
		Subvolume:     "@be/2026-11-20",
		Kernel:        "/apt-be/2026-11-20/vmlinuz-6.12.57+deb13-amd64",
		Initrd:        "/apt-be/2026-11-20/initrd.img-6.12.57+deb13-amd64",
		KernelVersion: "6.12.57+deb13-amd64",
		Options:       `quiet dyndbg="file a.c +p"`,
	}
}

func TestGolden(t *testing.T) {
	name, got, err := Entry(entry(), "apt-be")
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// A title, which the boot environment chooses, cannot add a field.
func TestHostileTitle(t *testing.T) {
	e := entry()
	e.Title = "x\noptions init=/bin/sh\r\nlinux /evil\x00"
	_, got, err := Entry(e, "apt-be")
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(got), "\n"); lines != 7 {
		t.Errorf("%d lines:\n%s", lines, got)
	}
	e.Subvolume = "a,b"
	if _, _, err := Entry(e, "apt-be"); err == nil {
		t.Error("a subvolume with a comma was written")
	}
}

// A name that ends like a boot counter does not become a counter.
func TestEntryID(t *testing.T) {
	for name, want := range map[string]string{
		"2026-11-20.2": "apt-be-2026-11-20.2",
		"a+3":          "apt-be-a_p3",
		"a_p3":         "apt-be-a__p3",
		"a+3-1":        "apt-be-a_p3-1",
	} {
		if got := EntryID(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// Two names never have the same entry on a file system that ignores case.
func TestEntryIDsAreUnique(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a", "A", "_", "p", "P", "_p", "_P", "+", "up", "_up", "uP", "Up", "trial-ab", "trial_-ab", "Trial-ab", "trial--ab", "trial", "-ab"} {
		id := EntryID(name)
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s are both %s", name, other, id)
		}
		seen[id] = name
		if strings.ToLower(id) != id || strings.HasPrefix(id, trialPrefix) {
			t.Errorf("%s is %s", name, id)
		}
		if got := nameOf(id); got != name {
			t.Errorf("%s is %q after %s", name, got, id)
		}
	}
	for _, id := range []string{"", "debian", "apt-be-trial-" + nonce} {
		if got := nameOf(id); got != "" {
			t.Errorf("%q is of %q", id, got)
		}
	}
	nameOf("apt-be-x_")
	nameOf("apt-be-x_u")
}
