package kernels

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/apt-be/apt-be/internal/boot"
	"github.com/apt-be/apt-be/tests/expect"
)

// machine is a top level and a Store that counts read bytes.
type machine struct {
	t   *testing.T
	top string
	Store
	bytes int
}

func newMachine(t *testing.T) *machine {
	return &machine{t: t, top: t.TempDir(), Store: Store{Dir: t.TempDir()}}
}

func (m *machine) write(path, content string) string {
	m.t.Helper()
	file := filepath.Join(m.top, path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return path
}

type counted struct {
	file *os.File
	m    *machine
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.file.Read(p)
	c.m.bytes += n
	return n, err
}

func (c counted) Stat() (fs.FileInfo, error) { return c.file.Stat() }

func (c counted) Close() error { return c.file.Close() }

func (m *machine) files(path string) (io.ReadCloser, error) {
	file, err := os.Open(filepath.Join(m.top, path))
	return counted{file, m}, err
}

func (m *machine) entry(name, kernel, initrd string) boot.Entry {
	return boot.Entry{
		Name:   name,
		Kernel: m.write("/@be/"+name+"/boot/vmlinuz-1", kernel),
		Initrd: m.write("/@be/"+name+"/boot/initrd.img-1", initrd),
	}
}

// changed returns the time of a file's last change.
func (m *machine) changed(path string) time.Time {
	m.t.Helper()
	info, err := os.Stat(filepath.Join(m.top, path))
	if err != nil {
		m.t.Fatal(err)
	}
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}

// later is a clock for which all files changed long ago.
func later() time.Time { return time.Now().Add(time.Hour) }

func (m *machine) put(entries ...boot.Entry) []boot.Entry {
	m.t.Helper()
	put, err := m.Put(m.files, entries)
	if err != nil {
		m.t.Fatal(err)
	}
	return put
}

func (m *machine) names() (names []string) {
	found, err := os.ReadDir(filepath.Join(m.Dir, "apt-be"))
	if err != nil && !os.IsNotExist(err) {
		m.t.Fatal(err)
	}
	for _, file := range found {
		if file.Name() != index {
			names = append(names, file.Name())
		}
	}
	return names
}

func copyOf(content, kind string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])[:16] + "-" + kind
}

func TestPutAndCollect(t *testing.T) {
	m := newMachine(t)
	m.Prefix = "boot"
	a, b := m.entry("a", "kernel", "initrd of a"), m.entry("b", "kernel", "initrd of b")
	got := m.put(a, b)
	if want := "/boot/apt-be/" + copyOf("initrd of b", "initrd"); got[1].Initrd != want || got[1].Name != "b" {
		t.Errorf("got %+v, want the initrd %s", got[1], want)
	}
	if got[0].Kernel != got[1].Kernel {
		t.Error("the same kernel is there twice")
	}
	if a.Kernel != "/@be/a/boot/vmlinuz-1" {
		t.Error("Put changed what it was given")
	}
	data, err := os.ReadFile(filepath.Join(m.Dir, "apt-be", copyOf("initrd of a", "initrd")))
	if err != nil || string(data) != "initrd of a" {
		t.Errorf("the copy holds %q, %v", data, err)
	}
	foreign := m.file("memtest.bin")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Collect(got[1:]); err != nil {
		t.Fatal(err)
	}
	want := []string{copyOf("initrd of b", "initrd"), copyOf("kernel", "vmlinuz"), "memtest.bin"}
	if slices.Sort(want); !slices.Equal(m.names(), want) {
		t.Errorf("left are %q, want %q", m.names(), want)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := m.Collect(nil); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := os.ReadDir(m.Dir); err != nil || len(left) > 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}

func TestPutCopiesOnce(t *testing.T) {
	m := newMachine(t)
	a := m.entry("a", "kernel", "initrd")
	m.put(a)
	if m.bytes != 2*len("kernelinitrd") { // for the checksum, and for the copy
		t.Errorf("%d bytes were read", m.bytes)
	}
	info, err := os.Stat(m.file(copyOf("kernel", "vmlinuz")))
	if err != nil {
		t.Fatal(err)
	}
	m.put(a)
	if again, err := os.Stat(m.file(copyOf("kernel", "vmlinuz"))); err != nil || !os.SameFile(info, again) {
		t.Errorf("it was copied again, %v", err)
	}
}

func TestUnchangedFilesAreNotRead(t *testing.T) {
	m := newMachine(t)
	a := m.entry("a", "kernel", "initrd")
	// A second change within the same clock tick would leave the time unchanged.
	m.clock = func() time.Time { return m.changed(a.Initrd).Add(settled - 1) }
	m.put(a)
	m.bytes = 0
	if m.put(a); m.bytes == 0 {
		t.Error("files that changed a moment ago are not read again")
	}
	m.clock = later
	m.put(a)
	m.bytes = 0
	if m.put(a); m.bytes != 0 {
		t.Errorf("%d bytes were read again", m.bytes)
	}
	expect.NextTick(t)
	m.write(a.Kernel, "Kernel") // of the same size
	if put := m.put(a); !strings.HasSuffix(put[0].Kernel, copyOf("Kernel", "vmlinuz")) {
		t.Errorf("a changed kernel is still %s", put[0].Kernel)
	}
	for _, content := range []string{"{", "null", `{"x": 1}`, ""} {
		if err := os.WriteFile(m.file(index), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		m.put(a)
	}
}

// A wrong index costs one failed attempt. It never gives a copy the name of other
// content.
func TestWrongIndex(t *testing.T) {
	m := newMachine(t)
	a := m.entry("a", "kernel", "initrd")
	m.clock = later
	m.put(a)
	data, err := os.ReadFile(m.file(index))
	if err != nil {
		t.Fatal(err)
	}
	right := hex.EncodeToString(sha256.New().Sum(nil))
	sum := sha256.Sum256([]byte("kernel"))
	wrong := strings.Replace(string(data), hex.EncodeToString(sum[:]), right, 1)
	if err := os.WriteFile(m.file(index), []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Put(m.files, []boot.Entry{a}); err == nil || !strings.Contains(err.Error(), "changed while it was copied") {
		t.Errorf("Put = %v", err)
	}
	if got := m.put(a); !strings.HasSuffix(got[0].Kernel, copyOf("kernel", "vmlinuz")) {
		t.Error(got)
	}
}

func TestLeftoversOfCrash(t *testing.T) {
	m := newMachine(t)
	a := m.entry("a", "kernel", "initrd")
	leave := func() {
		for name, content := range map[string]string{
			copyOf("kernel", "vmlinuz"):         "kern",
			copyOf("initrd", "initrd") + ".new": "ini",
			copyOf("other", "initrd") + ".new":  "oth",
			".tmp-index.json-1":                 "{",
		} {
			if err := os.MkdirAll(m.file(""), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(m.file(name), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	leave()
	put := m.put(a)
	if err := m.Verify(put[0]); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(m.file(copyOf("kernel", "vmlinuz"))); err != nil || string(data) != "kernel" {
		t.Errorf("a torn copy is still %q, %v", data, err)
	}
	leave()
	m.put(a)
	if err := m.Collect(put); err != nil {
		t.Fatal(err)
	}
	want := []string{copyOf("kernel", "vmlinuz"), copyOf("initrd", "initrd")}
	if slices.Sort(want); !slices.Equal(m.names(), want) {
		t.Errorf("left are %q, want %q", m.names(), want)
	}
}

func TestVerifyFindsDamage(t *testing.T) {
	m := newMachine(t)
	put := m.put(m.entry("a", "kernel", "initrd"))
	if err := os.WriteFile(m.file(copyOf("initrd", "initrd")), []byte("INITRD"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(put[0]); err == nil || !strings.Contains(err.Error(), "initrd is damaged") {
		t.Errorf("Verify = %v", err)
	}
	if err := m.Collect(nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(put[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Verify = %v of nothing", err)
	}
}

func TestCheckSpace(t *testing.T) {
	m := newMachine(t)
	if err := m.CheckSpace(1 << 62); !errors.Is(err, boot.ErrNoSpace) || !strings.Contains(err.Error(), "needs 4.0 EiB, ") {
		t.Error(err)
	}
	if err := m.CheckSpace(1); err != nil {
		t.Error(err)
	}
	err := m.fit([]*source{{kind: vmlinuz, entry: "a", size: 1}, {kind: initrd, entry: "b", size: 1 << 62}})
	if !errors.Is(err, boot.ErrNoSpace) || !strings.Contains(err.Error(), "cannot put the kernel of a and the initrd of b on "+m.Dir) {
		t.Error(err)
	}
}

func TestBadInput(t *testing.T) {
	m := newMachine(t)
	a := m.entry("a", "kernel", "initrd")
	for name, bad := range map[string]boot.Entry{
		"missing":     {Name: "x", Kernel: "/@be/x/boot/vmlinuz"},
		"empty":       {Name: "x", Kernel: m.write("/@be/empty", "")},
		"a directory": {Name: "x", Initrd: "/@be/a/boot"},
	} {
		_, err := m.Put(m.files, []boot.Entry{a, bad})
		if err == nil || !strings.Contains(err.Error(), " of x: ") {
			t.Errorf("%s: %v", name, err)
		}
		if names := m.names(); len(names) > 0 {
			t.Errorf("%s: left are %q", name, names)
		}
	}
	if put := m.put(boot.Entry{Name: "no kernel"}); put[0].Kernel != "" || put[0].Initrd != "" {
		t.Error(put)
	}
}
