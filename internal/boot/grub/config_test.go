package grub

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
)

var update = flag.Bool("update", false, "write the golden files anew")

const fsUUID = "6f0a1c2e-8d6b-4b1c-9d2f-2f4f3c9f1a77"

func entry(name, title string) boot.Entry {
	subvolume := "@be/" + name
	return boot.Entry{
		Name:          name,
		Title:         title,
		FSUUID:        fsUUID,
		Subvolume:     subvolume,
		Kernel:        boot.InSubvolume(subvolume, "boot/vmlinuz-6.12.57+deb13-amd64"),
		Initrd:        boot.InSubvolume(subvolume, "boot/initrd.img-6.12.57+deb13-amd64"),
		KernelVersion: "6.12.57+deb13-amd64",
		Options:       "quiet",
	}
}

// hostile are titles with which an os-release could attack the menu.
var hostile = []string{
	"it's '; reboot; echo '",
	"$root ${root} `x` \"y\" \\ \\' #",
	"}\n### END\nhalt\n",
	"a\r\tb\x00\x1b[1m > < | & ; {} \xff",
	"\\",
	"",
	"Überstraße ☃",
	"apt-be-2026-11-20",
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

func trial(e boot.Entry) *boot.Trial {
	e.Options += " apt-be.trial=0123456789abcdef apt-be.deadline=600 panic=10"
	return &boot.Trial{Entry: e, Nonce: "0123456789abcdef"}
}

var (
	onESP    = Env{Kind: WritableEnv, FSUUID: "ABCD-1234", Name: "/EFI/apt-be/grubenv"}
	inStore  = Env{Kind: ReadOnlyEnv, FSUUID: fsUUID, Name: "/@grub/apt-be.env"}
	noInitrd = boot.Entry{Name: "bare", Title: "bare", FSUUID: fsUUID, Subvolume: "@be/bare", Kernel: "/@be/bare/vmlinuz"}
)

// configs returns menus with all features, by the names of their golden files.
func configs() map[string]config {
	two := []boot.Entry{entry("2026-11-20", "Debian 13 (2026-11-20)"), entry("old", "Debian 12 (old)")}
	copied := entry("old", "Debian 12 (old)")
	copied.Kernel, copied.Initrd = "/apt-be/0123456789abcdef-vmlinuz", "/apt-be/0123456789abcdef-initrd"
	return map[string]config{
		"writable.cfg":  {env: onESP, probe: "p-1", menu: boot.Menu{Entries: two, Default: "old", Trial: trial(two[0])}},
		"read-only.cfg": {env: inStore, probe: "p-1", menu: boot.Menu{Entries: two, Default: "old", Trial: trial(two[0])}},
		"no-env.cfg":    {menu: boot.Menu{Entries: []boot.Entry{two[1], noInitrd}, Default: "old"}},
		"copies.cfg":    {env: onESP, probe: "p-1", kernelFSUUID: "7-8", menu: boot.Menu{Entries: []boot.Entry{copied}, Default: "old"}},
		"bare.cfg":      {env: onESP, menu: boot.Menu{Entries: []boot.Entry{noInitrd}, Default: "bare", Trial: trial(noInitrd)}},
		"hostile.cfg":   {env: Env{Kind: WritableEnv, FSUUID: "'$x", Name: "/a b';$(x)"}, probe: "'", menu: boot.Menu{Entries: entries(), Default: "hostile-a", Trial: trial(entries()[2])}},
		"empty.cfg":     {},
	}
}

func TestGolden(t *testing.T) {
	for name, c := range configs() {
		got, err := c.text()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
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
			t.Errorf("%s: got:\n%s\nwant:\n%s", name, got, want)
		}
		if err := check(t, string(got)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// check parses a text with GRUB's own parser.
func check(t *testing.T, text string) error {
	t.Helper()
	if _, err := exec.LookPath("grub-script-check"); err != nil {
		t.Fatal("grub-script-check is missing: it is in the package grub-common")
	}
	cmd := exec.Command("grub-script-check")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Logf("grub-script-check: %s", out)
	}
	return err
}

func TestGrubTakesEachTitle(t *testing.T) {
	for _, e := range entries() {
		text, err := config{env: onESP, menu: boot.Menu{Entries: []boot.Entry{e}, Trial: trial(e)}}.text()
		if err == nil {
			err = check(t, string(text))
		}
		if err != nil {
			t.Errorf("%q: %v", e.Title, err)
		}
	}
	if check(t, "menuentry 'x {\n") == nil {
		t.Error("grub-script-check takes anything")
	}
}

func TestConfigErrors(t *testing.T) {
	a := entry("a", "A")
	bad := entry("b", "B")
	bad.Subvolume = ","
	for name, menu := range map[string]boot.Menu{
		"bad entry": {Entries: []boot.Entry{bad}},
		"bad trial": {Entries: []boot.Entry{a}, Trial: trial(bad)},
	} {
		if text, err := (config{menu: menu}).text(); err == nil {
			t.Errorf("%s: no error:\n%s", name, text)
		}
	}
	_, err := config{menu: boot.Menu{Entries: []boot.Entry{a}, Default: "b"}}.text()
	if !errors.Is(err, errNoDefault) {
		t.Error(err)
	}
}

func TestHeader(t *testing.T) {
	for _, want := range []header{{"old", "0123", "p-1"}, {"", "", ""}, {"a", "", "b"}} {
		text := want.String() + "set x\n# default: evil\n"
		if got := parseHeader([]byte(text)); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	if got := parseHeader(nil); got != (header{}) {
		t.Error(got)
	}
}

// No title can add a line to the menu.
func FuzzTitle(f *testing.F) {
	for _, title := range hostile {
		f.Add(title, title)
	}
	plain, err := config{menu: boot.Menu{Entries: []boot.Entry{entry("a", "A")}}}.text()
	if err != nil {
		f.Fatal(err)
	}
	lines := strings.Count(string(plain), "\n")
	f.Fuzz(func(t *testing.T, title, options string) {
		e := entry("a", title)
		e.Options = options
		text, err := config{menu: boot.Menu{Entries: []boot.Entry{e}}}.text()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(text), "\n"); got != lines {
			t.Errorf("%d lines, not %d:\n%s", got, lines, text)
		}
	})
}
