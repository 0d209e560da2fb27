package sdboot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/internal/boot/efivar"
	"github.com/apt-be/apt-be/internal/boot/kernels"
)

// machine is a systemd-boot in directories.
type machine struct {
	t *testing.T
	*Loader
	version int // of systemd-boot
}

func newMachine(t *testing.T, version int) *machine {
	esp := t.TempDir()
	m := &machine{t, &Loader{ESP: esp, Kernels: kernels.Store{Dir: esp}, Vars: efivar.Vars{Dir: t.TempDir()}}, version}
	m.must(os.MkdirAll(m.entry(""), 0o755))
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// contents opens a fake EFI program: its content is its path.
func contents(path string) (io.ReadCloser, error) {
	if strings.Contains(path, "missing") {
		return nil, fs.ErrNotExist
	}
	return io.NopCloser(strings.NewReader("MZ" + path)), nil
}

func of(name string) boot.Entry {
	return boot.Entry{
		Name: name, Title: "Debian, " + name, FSUUID: "1-2", Subvolume: "@be/" + name, KernelVersion: "6.1",
		Kernel: "/@be/" + name + "/boot/vmlinuz-6.1", Initrd: "/@be/" + name + "/boot/initrd.img-6.1",
	}
}

const (
	nonce       = "0123456789abcdef"
	untriedFile = "apt-be-trial-" + nonce + "+1.conf"
)

// menu returns a menu with the default old and a trial of new.
func menu() boot.Menu {
	trial := of("new")
	trial.Options = "apt-be.trial=" + nonce
	return boot.Menu{
		Entries: []boot.Entry{of("new"), of("old")},
		Default: "old",
		Trial:   &boot.Trial{Entry: trial, Nonce: nonce},
	}
}

// entries returns the files of the menu in systemd-boot's order.
func (m *machine) entries() (files []string) {
	found, err := os.ReadDir(m.entry(""))
	m.must(err)
	key := func(file string) string {
		data, err := os.ReadFile(m.entry(file))
		m.must(err)
		_, after, _ := strings.Cut(string(data), "sort-key")
		key, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
		if strings.HasSuffix(file, "+0-1.conf") {
			key = "~" + key
		}
		return key
	}
	for _, file := range found {
		data, err := os.ReadFile(m.entry(file.Name()))
		m.must(err)
		if _, err := os.Stat(filepath.Join(m.ESP, parse(data).Kernel)); err == nil {
			files = append(files, file.Name())
		}
	}
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(key(a), key(b)) })
	return files
}

// boot emulates systemd-boot. chosen is the entry that a user picks, or "". It returns
// the file of the booted entry.
func (m *machine) boot(chosen string) string {
	m.t.Helper()
	oneShot, err := m.Vars.Get(varOneShot)
	m.must(err)
	m.must(m.Vars.Delete(varOneShot))
	def, err := m.Vars.Get(varDefault)
	m.must(err)
	files := m.entries()
	for _, pattern := range []string{chosen, oneShot, def, files[0]} {
		for _, file := range files {
			id := file
			if before, counter, found := strings.Cut(file, "+"); found && m.version >= 257 {
				id = before + strings.TrimLeft(counter, "0123456789-")
			}
			match, err := path.Match(pattern, id)
			m.must(err)
			if !match {
				continue
			}
			before, found := strings.CutSuffix(file, "+1.conf")
			if found {
				m.must(os.Rename(m.entry(file), m.entry(before+"+0-1.conf")))
			}
			return file
		}
	}
	m.t.Fatal("nothing boots")
	return ""
}

func (m *machine) check(what string, want boot.State) {
	m.t.Helper()
	if got, err := m.State(); err != nil || got != want {
		m.t.Errorf("%d, %s: %+v, %v, want %+v", m.version, what, got, err, want)
	}
}

func TestTrial(t *testing.T) {
	for _, version := range []int{252, 257} {
		m := newMachine(t, version)
		m.must(m.SetMenu(menu(), contents))
		want := []string{"apt-be-old.conf", "apt-be-new.conf", untriedFile}
		if got := m.entries(); !slices.Equal(got, want) {
			t.Errorf("the menu is %q, want %q", got, want)
		}
		if name, err := m.Default(); err != nil || name != "old" {
			t.Errorf("Default = %q, %v", name, err)
		}
		m.check("before it is armed", boot.State{})
		if got := m.boot(""); got != want[0] {
			t.Errorf("%s boots without a trial that is armed", got)
		}
		m.must(m.Arm(nonce))
		m.check("armed", boot.State{Armed: nonce})
		m.must(m.SetMenu(menu(), contents))
		m.check("after a refresh", boot.State{Armed: nonce})
		if got := m.boot("apt-be-old.conf"); got != want[0] {
			t.Error(got)
		}
		m.check("after another choice", boot.State{})
		m.must(m.Arm(nonce))
		if got := m.boot(""); got != want[2] {
			t.Errorf("%d: %s boots instead of the trial", version, got)
		}
		m.check("taken", boot.State{Tried: nonce})
		m.must(m.SetMenu(menu(), contents))
		m.check("taken, and after a refresh", boot.State{Tried: nonce})
		if got := m.boot(""); got != want[0] {
			t.Errorf("%s boots after the trial", got)
		}
		if err := m.Arm(nonce); err == nil || !strings.Contains(err.Error(), "was taken before") {
			t.Errorf("Arm = %v of one that was taken", err)
		}
		m.must(m.Disarm())
		m.check("after Disarm", boot.State{})
	}
}

// With a firmware that never deletes the variable, systemd-boot 252 does not loop.
func TestFirmwareKeepsOneShot(t *testing.T) {
	m := newMachine(t, 252)
	m.must(m.SetMenu(menu(), contents))
	for _, want := range []string{untriedFile, "apt-be-old.conf"} {
		m.must(m.Vars.Set(varOneShot, oneShot(nonce)))
		if got := m.boot(""); got != want {
			t.Errorf("%s boots, want %s", got, want)
		}
	}
}

// systemd-bless-boot.service removes the counter.
func TestBlessedBySystemd(t *testing.T) {
	m := newMachine(t, 257)
	m.must(m.SetMenu(menu(), contents))
	m.must(os.Rename(m.entry(untriedFile), m.entry("apt-be-trial-"+nonce+".conf")))
	m.check("without a counter", boot.State{Tried: nonce})
	m.must(m.SetMenu(boot.Menu{Entries: menu().Entries, Default: "new"}, contents))
	if got, want := m.entries(), []string{"apt-be-new.conf", "apt-be-old.conf"}; !slices.Equal(got, want) {
		t.Errorf("the menu is %q, want %q", got, want)
	}
}

// It fails if the booted entry was deleted.
func TestRunningTrialStays(t *testing.T) {
	for version, id := range map[int]string{252: "apt-be-trial-" + nonce + "+1.conf", 257: "apt-be-trial-" + nonce + ".conf"} {
		m := newMachine(t, version)
		m.must(m.SetMenu(menu(), contents))
		m.must(m.Arm(nonce))
		m.boot("")
		m.must(m.Vars.Set("LoaderEntrySelected", id))
		without := boot.Menu{Entries: menu().Entries, Default: "old"}
		m.must(m.SetMenu(without, contents))
		if got := m.entries(); !slices.Contains(got, "apt-be-trial-"+nonce+"+0-1.conf") {
			t.Errorf("%d: the menu is %q", version, got)
		}
		m.must(m.Disarm())
		if got := m.entries(); len(got) != 2 {
			t.Errorf("%d: after Disarm the menu is %q", version, got)
		}
	}
}

func TestMissing(t *testing.T) {
	for kind, boots := range map[string]string{"kernel": "apt-be-old.conf", "initrd": untriedFile} {
		m := newMachine(t, 257)
		m.must(m.SetMenu(menu(), contents))
		m.must(m.Arm(nonce))
		data, err := os.ReadFile(m.entry(untriedFile))
		m.must(err)
		file := parse(data).Kernel
		if kind == "initrd" {
			file = parse(data).Initrd
		}
		m.must(os.Remove(filepath.Join(m.ESP, file)))
		if got := m.boot(""); got != boots {
			t.Errorf("without the %s %s boots", kind, got)
		}
		m.check("without the "+kind, boot.State{Tried: nonce, Missing: kind})
	}
}

func TestDamagedIsNotArmed(t *testing.T) {
	m := newMachine(t, 257)
	m.must(m.SetMenu(menu(), contents))
	data, err := os.ReadFile(m.entry(untriedFile))
	m.must(err)
	m.must(os.WriteFile(filepath.Join(m.ESP, parse(data).Kernel), []byte("torn"), 0o600))
	if err := m.Arm(nonce); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Errorf("Arm = %v", err)
	}
	text := func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("#!/bin/sh")), nil }
	m.must(m.SetMenu(menu(), text))
	if err := m.Arm(nonce); err == nil || !strings.Contains(err.Error(), "not an EFI program") {
		t.Errorf("Arm = %v", err)
	}
	m.check("not armed", boot.State{})
}

// If the file of the default is lost, the next entry of the menu boots, not the trial.
func TestDefaultIsLost(t *testing.T) {
	m := newMachine(t, 252)
	m.must(m.SetMenu(menu(), contents))
	m.must(os.Remove(m.entry("apt-be-old.conf")))
	if name, err := m.Default(); err != nil || name != "" {
		t.Errorf("Default = %q, %v", name, err)
	}
	if got := m.boot(""); got != "apt-be-new.conf" {
		t.Errorf("%s boots", got)
	}
	m.must(m.SetMenu(menu(), contents))
	if got := m.boot(""); got != "apt-be-old.conf" {
		t.Errorf("%s boots after a refresh", got)
	}
}

func TestOwnFilesAreRemoved(t *testing.T) {
	m := newMachine(t, 257)
	m.must(os.WriteFile(m.entry("debian.conf"), []byte("linux /debian\n"), 0o600))
	m.must(os.WriteFile(m.entry(".tmp-apt-be-new.conf-1"), nil, 0o600))
	m.must(m.Vars.Set(varDefault, "debian.conf"))
	m.must(m.SetMenu(boot.Menu{}, contents))
	if text, err := m.Vars.Get(varDefault); err != nil || text != "debian.conf" {
		t.Errorf("the default is now %q, %v", text, err)
	}
	m.must(m.SetMenu(menu(), contents))
	m.must(m.Arm(nonce))
	m.must(m.SetMenu(boot.Menu{}, contents))
	for _, dir := range []string{m.Vars.Dir, filepath.Join(m.ESP, "apt-be")} {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left are %v", left)
		}
	}
	left, err := os.ReadDir(m.entry(""))
	if err != nil || len(left) != 1 || left[0].Name() != "debian.conf" {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestBadMenuChangesNothing(t *testing.T) {
	m := newMachine(t, 257)
	m.must(m.SetMenu(menu(), contents))
	before := m.entries()
	for want, change := range map[string]func(*boot.Menu){
		"the default \"x\" has no entry":         func(b *boot.Menu) { b.Default = "x" },
		"cannot read the initrd of new":          func(b *boot.Menu) { b.Entries[0].Initrd = "/missing" },
		"is not hexadecimal":                     func(b *boot.Menu) { b.Trial.Nonce = "../x" },
		"cannot read the kernel of new: ":        func(b *boot.Menu) { b.Trial.Entry.Kernel = "/missing" },
		"cannot write a boot entry for trialled": func(b *boot.Menu) { b.Trial.Entry = boot.Entry{Name: "trialled", Subvolume: "a,b"} },
	} {
		bad := menu()
		change(&bad)
		if err := m.SetMenu(bad, contents); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("SetMenu = %v, want %s", err, want)
		}
		if after := m.entries(); !slices.Equal(before, after) {
			t.Errorf("%s: the menu is %q", want, after)
		}
	}
	m.ESP = filepath.Join(m.ESP, "not mounted")
	if err := m.SetMenu(menu(), contents); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestLevel(t *testing.T) {
	m := newMachine(t, 257)
	level := func(features, want string, wantLevel boot.Level) {
		t.Helper()
		if features != "" {
			file := filepath.Join(m.Vars.Dir, "LoaderFeatures-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f")
			m.must(os.WriteFile(file, []byte("\x06\x00\x00\x00"+features), 0o600))
		}
		if got, why := m.Level(); got != wantLevel || !strings.Contains(why, want) {
			t.Errorf("Level = %s, %s, want %s", got, why, want)
		}
	}
	level("", "was not booted by systemd-boot", boot.LevelNone)
	level("\x0c\x00\x00\x00\x00\x00\x00\x00", "does not count boots", boot.LevelNone)
	level("\x14\x00\x00\x00\x00\x00\x00\x00", "cannot boot an entry once", boot.LevelNone)
	level("\x1f\x00\x00\x00\x00\x00\x00\x00", "boots a trial once", boot.LevelKernel)
	m.must(m.SetMenu(menu(), contents))
	level("", "boots a trial once", boot.LevelKernel)
}
