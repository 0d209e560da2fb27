package grub

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
)

var update = flag.Bool("update", false, "write the golden files anew")

func entry(name, title string) boot.Entry {
	subvolume := "@be/" + name
	return boot.Entry{
		Name:          name,
		Title:         title,
		FSUUID:        "6f0a1c2e-8d6b-4b1c-9d2f-2f4f3c9f1a77",
		Subvolume:     subvolume,
		Kernel:        boot.InSubvolume(subvolume, "boot/vmlinuz-6.12.57+deb13-amd64"),
		Initrd:        boot.InSubvolume(subvolume, "boot/initrd.img-6.12.57+deb13-amd64"),
		KernelVersion: "6.12.57+deb13-amd64",
		Options:       "quiet",
	}
}

// hostile is what a boot environment could try with its os-release.
var hostile = []string{
	"it's '; reboot; echo '",
	"$root ${root} `x` \"y\" \\ \\' #",
	"}\n### END apt-be\nhalt\n",
	"a\r\tb\x00\x1b[1m > < | & ; {} \xff",
	"\\",
	"",
	"Überstraße ☃",
}

func entries() []boot.Entry {
	all := []boot.Entry{entry("2026-11-20", "Debian GNU/Linux 13 (trixie), 2026-11-20")}
	for i, title := range hostile {
		e := entry("hostile-"+string(rune('a'+i)), title)
		e.Options = `dyndbg="file a.c +p" x=` + strings.ReplaceAll(title, "\n", "") + ` $y;`
		all = append(all, e)
	}
	return all
}

func custom(t *testing.T, old string, entries ...boot.Entry) string {
	t.Helper()
	out, err := CustomEntries([]byte(old), entries)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestGolden(t *testing.T) {
	got := custom(t, "# My own.\nset timeout=3\n", entries()...)
	golden := filepath.Join("testdata", "custom.cfg")
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

// GRUB's own parser takes what is written, with any title.
func TestGrubTakesIt(t *testing.T) {
	if _, err := exec.LookPath("grub-script-check"); err != nil {
		t.Fatal("grub-script-check is missing: it is in the package grub-common")
	}
	check := func(text string) error {
		cmd := exec.Command("grub-script-check")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Logf("grub-script-check: %s", out)
		}
		return err
	}
	if err := check(custom(t, "", entries()...)); err != nil {
		t.Errorf("all: %v", err)
	}
	for _, e := range entries() {
		if err := check(custom(t, "", e)); err != nil {
			t.Errorf("%q: %v", e.Title, err)
		}
	}
	if check("menuentry 'x {\n") == nil {
		t.Error("grub-script-check takes anything")
	}
}

func TestBlock(t *testing.T) {
	first, second := entry("a", "A"), entry("b", "B")
	block := custom(t, "", first)
	tests := []struct {
		name, old string
		entries   []boot.Entry
		want      string
	}{
		{"empty", "", []boot.Entry{first}, block},
		{"same", block, []boot.Entry{first}, block},
		{"at the end", "x\n", []boot.Entry{first}, "x\n" + block},
		{"no newline", "x", []boot.Entry{first}, "x\n" + block},
		{"in place", "x\n" + custom(t, "", second) + "y", []boot.Entry{first}, "x\n" + block + "y"},
		{"removed", "x\n" + block + "y\n", nil, "x\ny\n"},
		{"nothing", "x", nil, "x"},
		{"two blocks", block + "x\n" + block, []boot.Entry{first}, block + "x\n"},
		{"lost end", "x\n" + beginMark + "\ny\n", []boot.Entry{first}, "x\ny\n" + block},
		{"lost end, then a block", beginMark + "\ny\n" + block, []boot.Entry{first}, "y\n" + block},
		{"lost begin", "y\n" + endMark + "\nz\n", []boot.Entry{first}, "y\nz\n" + block},
	}
	for _, test := range tests {
		if got := custom(t, test.old, test.entries...); got != test.want {
			t.Errorf("%s: got:\n%s\nwant:\n%s", test.name, got, test.want)
		}
	}
	if _, err := CustomEntries(nil, []boot.Entry{{Name: "x", Subvolume: ","}}); err == nil {
		t.Error("a subvolume with a comma was written")
	}
}

func FuzzCustomEntries(f *testing.F) {
	for _, title := range hostile {
		f.Add([]byte("x\n"), title, title)
	}
	f.Fuzz(func(t *testing.T, old []byte, title, options string) {
		e := entry("a", title)
		e.Options = options
		out, err := CustomEntries(old, []boot.Entry{e})
		if err != nil {
			t.Fatal(err)
		}
		again, _ := CustomEntries(out, []boot.Entry{e})
		if !bytes.Equal(out, again) {
			t.Errorf("not idempotent:\n%q\n%q", out, again)
		}
		removed, _ := CustomEntries(out, nil)
		cleaned, _ := CustomEntries(old, nil)
		if !bytes.Equal(bytes.TrimSuffix(removed, []byte("\n")), bytes.TrimSuffix(cleaned, []byte("\n"))) {
			t.Errorf("other lines changed:\n%q\n%q", cleaned, removed)
		}
	})
}
