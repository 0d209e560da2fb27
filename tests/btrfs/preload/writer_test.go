package preload_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

const block = 4096

// random returns n pseudorandom bytes, which depend only on n.
func random(n int) []byte {
	data := make([]byte, n)
	source := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range data {
		data[i] = byte(source.Uint32())
	}
	return data
}

// with returns a copy of data with the byte at offset changed.
func with(data []byte, offset int) []byte {
	data = bytes.Clone(data)
	data[offset] ^= 1
	return data
}

// holey is a file of 100 blocks of which 80 are a hole.
func holey() []byte {
	return append(append(random(10*block), make([]byte, 80*block)...), random(10*block)...)
}

// as writes a file like dpkg.
const as = "rest 32768 sync own mode close"

// writes are ways in which programs write a new file over an old one. With and without
// the library the calls must return the same, and the files must have the same content.
var writes = []struct {
	name     string
	old, new []byte
	commands string
	fault    string // see testdata/fault.c
	program  func(b bench) string
	shared   int // blocks of the new file that are those of the old one
}{
	{name: "equal", old: random(100 * block), new: random(100 * block), commands: as, shared: 100},
	{name: "equal, not whole blocks", old: random(100*block + 77), new: random(100*block + 77), commands: as, shared: 101},
	{name: "equal, one write", old: random(5 * block), new: random(5 * block), commands: as, shared: 5},
	{name: "equal, no settling but close", old: random(100 * block), new: random(100 * block), commands: "rest 32768 close", shared: 100},
	{name: "equal, 8 MiB at once", old: random(8 << 20), new: random(8 << 20), commands: "rest 99999999 close", shared: 2048},
	{name: "equal, odd pieces", old: random(100 * block), new: random(100 * block), commands: "write 40000 write 1 write 7 rest 5555 sync close", shared: 100},
	{name: "holes", old: holey(), new: holey(), commands: as, shared: 20},
	{name: "too small", old: random(2048), new: random(2048), commands: as},
	{name: "empty", old: random(100 * block), new: nil, commands: as},
	{name: "differs in the first byte", old: random(100 * block), new: with(random(100*block), 0), commands: as},
	{name: "differs behind what is probed", old: random(100 * block), new: with(random(100*block), 5000), commands: as},
	{name: "differs before the half", old: random(100 * block), new: with(random(100*block), 49*block), commands: as},
	{name: "differs after the half", old: random(104 * block), new: with(random(104*block), 72*block), commands: as, shared: 72},
	{name: "differs in the last byte", old: random(104 * block), new: with(random(104*block), 104*block-1), commands: as, shared: 96},
	{name: "longer", old: random(104 * block), new: append(random(104*block), random(3000)...), commands: as, shared: 104},
	{name: "longer by half a block", old: random(100*block + 77), new: append(random(100*block+77), random(3000)...), commands: as, shared: 96},
	{name: "shorter", old: random(100 * block), new: random(100 * block)[:90*block], commands: as, shared: 90},
	{name: "shorter by half a block", old: random(100 * block), new: random(100 * block)[:90*block+2000], commands: as, shared: 91},
	{name: "shorter, no settling but close", old: random(100 * block), new: random(100 * block)[:90*block], commands: "rest 32768 close", shared: 90},
	{name: "shorter than one write", old: random(100 * block), new: random(100 * block)[:3000], commands: as},
	{name: "differs and shorter", old: random(100 * block), new: with(random(100*block), 10*block)[:90*block], commands: as},

	{name: "old file changed while it is compared", old: random(100 * block), new: random(100 * block), commands: "write 32768 spoil " + as, shared: 99},
	{name: "old file changed before the first write", old: random(100 * block), new: random(100 * block), commands: "spoil " + as, shared: 96},
	{name: "signals", old: random(8 << 20), new: random(8 << 20), commands: "alarms " + as, shared: 2048},
	{name: "settled in the middle", old: random(100 * block), new: random(100 * block), commands: "write 32768 sync " + as, shared: 8},
	{name: "size asked in the middle", old: random(100 * block), new: random(100 * block), commands: "write 32768 size " + as, shared: 8},
	{name: "fsync in the middle", old: random(100 * block), new: random(100 * block), commands: "write 32768 fsync " + as, shared: 8},
	{name: "back", old: random(100 * block), new: random(100 * block), commands: "write 32768 seek -100 " + as, shared: 7},
	{name: "ahead", old: random(100 * block), new: random(100 * block), commands: "write 32768 seek 4096 " + as, shared: 8},
	{name: "made longer", old: random(100 * block), new: random(100 * block), commands: "write 32768 truncate 99999999 size close", shared: 8},
	{name: "made shorter", old: random(100 * block), new: random(100 * block), commands: "write 32768 truncate 8192 size close", shared: 2},
	{name: "copied descriptor", old: random(100 * block), new: random(100 * block), commands: "write 32768 dup " + as, shared: 8},
	{name: "a child writes", old: random(100 * block), new: random(100 * block), commands: "write 32768 fork 5000 " + as, shared: 8},
	{name: "by stdio", old: random(100 * block), new: random(100 * block), commands: "write 32768 stdio", shared: 8},
	{name: "a call that is not known", old: random(100 * block), new: random(100 * block), commands: "write 32768 writev 32768 " + as},
	{name: "the same, at the end", old: random(100 * block), new: random(100 * block), commands: "write 32768 writev 1000 size close", shared: 8},
	{name: "two files at once", old: random(100 * block), new: random(100 * block), commands: "write 32768 second " + as, shared: 100},

	{name: "imports another function", old: random(100 * block), new: random(100 * block), commands: as, program: func(b bench) string { return b.foreign }},
	{name: "not dpkg", old: random(100 * block), new: random(100 * block), commands: as, program: func(b bench) string { return b.other }},
	{name: "short reads", old: random(100 * block), new: random(100 * block), commands: as, fault: "short", shared: 100},
	{name: "short reads and a difference", old: random(100 * block), new: with(random(100*block), 30*block), commands: as, fault: "short"},
	{name: "reads fail", old: random(100 * block), new: random(100 * block), commands: as, fault: "read"},
	{name: "no clones", old: random(100 * block), new: random(100 * block), commands: as, fault: "noclone"},
	{name: "half a clone", old: random(100 * block), new: random(100 * block)[:50*block], commands: as, fault: "halfclone"},
}

// outcome is the output of a writer, and the files that it left, by name.
type outcome struct {
	printed string
	files   map[string]string
}

// write runs a writer that writes new over old, in an empty directory, and returns the
// outcome.
func (b bench) write(t *testing.T, program string, old, new []byte, commands string, environment ...string) (string, outcome) {
	t.Helper()
	dir, err := os.MkdirTemp(b.mount, "")
	if err != nil {
		t.Fatal(err)
	}
	content := filepath.Join(t.TempDir(), "content")
	file := filepath.Join(dir, "file")
	for name, data := range map[string][]byte{content: new, file: old} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if bytes.Contains(old, make([]byte, block)) {
		run(t, "fallocate", "--dig-holes", file)
	}
	command := exec.Command(program, append([]string{content, file}, strings.Fields(commands)...)...)
	command.Env, command.Stderr = append(os.Environ(), environment...), os.Stderr
	printed, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v", program, commands, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, e := range entries {
		var st unix.Stat_t
		name := filepath.Join(dir, e.Name())
		data, err := os.ReadFile(name)
		if err == nil {
			err = unix.Stat(name, &st)
		}
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = fmt.Sprintf("%o %d:%d %x", st.Mode, st.Uid, st.Gid, sha256.Sum256(data))
	}
	return dir, outcome{string(printed), files}
}

func TestWriter(t *testing.T) {
	b := build(t)
	for _, test := range writes {
		t.Run(test.name, func(t *testing.T) {
			program := b.writer
			if test.program != nil {
				program = test.program(b)
			}
			_, want := b.write(t, program, test.old, test.new, test.commands)
			dir, got := b.write(t, program, test.old, test.new, test.commands,
				"LD_PRELOAD="+b.library+":"+b.faults, "FAULT="+test.fault)
			if diff := cmp.Diff(want.printed, got.printed); diff != "" {
				t.Errorf("the calls returned something else with the library (-without +with):\n%s", diff)
			}
			if diff := cmp.Diff(want.files, got.files); diff != "" {
				t.Errorf("the files are others with the library (-without +with):\n%s", diff)
			}
			old := filepath.Join(dir, "file")
			if n := shared(t, old, old+".dpkg-new"); n != test.shared {
				t.Errorf("%d blocks are shared, want %d", n, test.shared)
			}
		})
	}
}

// TestDescriptorReplacedByDup3 closes a descriptor in a way that the library does not see, and
// reuses its number for another file. The library must not change the other file.
func TestDescriptorReplacedByDup3(t *testing.T) {
	b := build(t)
	const commands, other = "write 32768 behind " + as, "file.dpkg-new.other"
	data := random(100 * block)
	_, want := b.write(t, b.writer, data, data, commands)
	_, got := b.write(t, b.writer, data, data, commands, "LD_PRELOAD="+b.library)
	if want.files[other] == "" || got.files[other] != want.files[other] || got.printed != want.printed {
		t.Errorf("with the library %+v, without %+v", got, want)
	}
}

// TestFull fills the file system just before the library truncates the old file, or
// before it writes data that it had skipped. dpkg ignores the result of
// sync_file_range, so all later calls must fail.
func TestFull(t *testing.T) {
	b := build(t)
	old := random(100 * block)
	for fault, test := range map[string]struct {
		new  []byte
		want string
	}{
		"full": {old[:90*block], `open 0
rest 8192
sync 0
own -1 ENOSPC
mode -1 ENOSPC
write -1 ENOSPC
close -1 ENOSPC
close -1 EBADF
`},
		"rewrite": {with(old, 20*block), `open 0
rest -1 ENOSPC
`},
	} {
		commands := "rest 32768"
		if fault == "full" {
			commands += " sync own mode seek -1 write 1 close close"
		}
		_, got := b.write(t, b.writer, old, test.new, commands, "LD_PRELOAD="+b.library+":"+b.faults, "FAULT="+fault)
		printed := strings.ReplaceAll(strings.ReplaceAll(got.printed, " \n", "\n"), "seek -1 ENOSPC\n", "")
		if diff := cmp.Diff(test.want, printed); diff != "" {
			t.Errorf("%s: the calls returned (-want +got):\n%s", fault, diff)
		}
	}
}

// TestEnvironment checks that the children of dpkg run without the library, and with the
// other libraries that the user preloads.
func TestEnvironment(t *testing.T) {
	b := build(t)
	for preload, want := range map[string]string{
		b.library:                  "environment 0",
		b.library + ":" + b.faults: "environment 1",
		b.faults + " " + b.library: "environment 1",
	} {
		_, got := b.write(t, b.writer, nil, nil, "environment", "LD_PRELOAD="+preload)
		if !strings.Contains(got.printed, want) {
			t.Errorf("LD_PRELOAD=%s: printed %q, want %q", preload, got.printed, want)
		}
	}
}
