package txn_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/apt-be/apt-be/internal/txn"
)

// abandoned leaves a transaction that has created files.
func abandoned(t *testing.T, f *fixture, names ...string) *txn.Txn {
	t.Helper()
	tx, err := f.journal.Begin("a test")
	check(t, err)
	for _, name := range names {
		check(t, tx.Do(ctx, makeFile(name)))
	}
	abandon(tx)
	return tx
}

// recoverTampered recovers, and returns the undone steps in order.
func recoverTampered(t *testing.T, f *fixture) (recovered []txn.Recovered, log []string) {
	t.Helper()
	next := newFixture(f.dir)
	recovered, err := next.journal.Recover(ctx)
	check(t, err)
	return recovered, next.log
}

// TestTampered has journals that differ from the journal that the transaction wrote.
// Recovery undoes none of their steps.
func TestTampered(t *testing.T) {
	lines := func(text string) []string { return strings.SplitAfter(text, "\n") }
	for _, tt := range []struct {
		name string
		edit func(text, other string) string
	}{
		{"a line appended", func(text, _ string) string {
			return text + `{"step":{"kind":"make","args":{"file":"c"}}}` + "\n"
		}},
		{"the last line twice", func(text, _ string) string { return text + lines(text)[2] }},
		{"a line with the checksum of another one", func(text, _ string) string {
			line := lines(text)[2]
			return text + `{"step":{"kind":"make","args":{"file":"c"}}}` + line[strings.LastIndexByte(line, ' '):]
		}},
		{"a line changed", func(text, _ string) string { return strings.Replace(text, `"file":"a"`, `"file":"c"`, 1) }},
		{"the last line changed", func(text, _ string) string { return strings.Replace(text, `"file":"b"`, `"file":"c"`, 1) }},
		{"the title changed", func(text, _ string) string { return strings.Replace(text, `"a test"`, `"no test"`, 1) }},
		{"lines exchanged", func(text, _ string) string { l := lines(text); return l[0] + l[2] + l[1] }},
		{"a line left out", func(text, _ string) string { l := lines(text); return l[0] + l[2] }},
		{"the header left out", func(text, _ string) string { l := lines(text); return l[1] + l[2] }},
		{"a line of another transaction", func(text, other string) string { return text + lines(other)[2] }},
		{"the steps of another transaction", func(text, other string) string {
			return lines(text)[0] + lines(other)[1] + lines(other)[2]
		}},
		{"all of another transaction", func(_, other string) string { return other }},
		{"a torn line and another one", func(text, _ string) string { return text + `{"step":{"ki` + lines(text)[2] }},
		{"blanks", func(text, _ string) string { return strings.Replace(text, `":{`, `": {`, 1) }},
		{"the checksum in capitals", func(text, _ string) string {
			at := len(text) - 65
			return text[:at] + strings.ToUpper(text[at:])
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			elsewhere := newFixture(t.TempDir())
			abandoned(t, elsewhere, "d", "e")
			other, err := os.ReadFile(elsewhere.journalFile(t))
			check(t, err)
			f := newFixture(t.TempDir())
			tx := abandoned(t, f, "a", "b")
			f.edit(t, func(text string) string { return tt.edit(text, string(other)) })
			// Another journal is settled all the same.
			further := abandoned(t, f, "c")
			recovered, log := recoverTampered(t, f)
			settled := map[string]error{}
			for _, r := range recovered {
				settled[r.ID] = r.Err
			}
			err, ok := settled[further.ID]
			if len(recovered) != 2 || !ok || err != nil || !contains(settled[tx.ID], "cannot read the journal") {
				t.Errorf("Recover = %+v", recovered)
			}
			if !slices.Equal(log, []string{"unmake c"}) {
				t.Errorf("what ran is %q", log)
			}
			f.checkFiles(t, "a", "b", tx.ID+".json")
		})
	}
}

// TestEachByte flips each bit of a journal, and cuts it at each place. Recovery undoes
// the recorded steps, from the first up to some step, or refuses.
func TestEachByte(t *testing.T) {
	f := newFixture(t.TempDir())
	var file string
	var whole []byte
	renew := func() {
		abandoned(t, f, "a", "b")
		file = f.journalFile(t)
		var err error
		whole, err = os.ReadFile(file)
		check(t, err)
	}
	try := func(what string, text []byte) {
		t.Helper()
		check(t, os.WriteFile(file, text, 0o600))
		next := newFixture(f.dir)
		next.stuck = true // so that the journal stays if it contains a step
		recovered, err := next.journal.Recover(ctx)
		check(t, err)
		if len(recovered) != 1 {
			t.Fatalf("%s: Recover = %+v", what, recovered)
		}
		refused := contains(recovered[0].Err, "cannot read the journal")
		switch ran := strings.Join(next.log, ", "); {
		case refused && ran != "":
			t.Errorf("%s: refused, and %s ran", what, ran)
		case !refused && !slices.Contains([]string{"", "unmake a", "unmake b, unmake a"}, ran):
			t.Errorf("%s: what ran is %s", what, ran)
		case !refused && len(text) == len(whole) && len(next.log) == 2:
			t.Errorf("%s: it is taken for what was written", what)
		}
		if _, err := os.Lstat(file); err != nil {
			renew()
		}
	}
	renew()
	for at := 0; at < len(whole); at++ {
		for bit := range 8 {
			if at < len(whole) {
				text := slices.Clone(whole)
				text[at] ^= 1 << bit
				try(fmt.Sprintf("bit %d of byte %d", bit, at), text)
			}
		}
		if at < len(whole) {
			try(fmt.Sprintf("cut at %d", at), whole[:at])
		}
	}
}

// TestForeignFilesAmongJournals has files that another process wrote to or created.
func TestForeignFilesAmongJournals(t *testing.T) {
	for _, tt := range []struct {
		name, says string
		root       bool
		change     func(t *testing.T, file string)
	}{
		{"for the group to write to", "its mode is 0660", false, func(t *testing.T, file string) { check(t, os.Chmod(file, 0o660)) }},
		{"for all to write to", "its mode is 0602", false, func(t *testing.T, file string) { check(t, os.Chmod(file, 0o602)) }},
		{"with another name", "it has 2 names", false, func(t *testing.T, file string) { check(t, os.Link(file, file+".saved")) }},
		{"a copy", "it is a copy of a journal", false, func(t *testing.T, file string) {
			text, err := os.ReadFile(file)
			check(t, err)
			check(t, os.WriteFile(file+".saved", text, 0o600))
			check(t, os.Rename(file+".saved", file))
		}},
		{"a link", "a symbolic link", false, func(t *testing.T, file string) {
			check(t, os.Rename(file, file+".saved"))
			check(t, os.Symlink(file+".saved", file))
		}},
		{"of another user", "it belongs to user 1234", true, func(t *testing.T, file string) { check(t, os.Chown(file, 1234, 0)) }},
	} {
		if tt.root && os.Geteuid() != 0 {
			continue
		}
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t.TempDir())
			abandoned(t, f, "a")
			tt.change(t, f.journalFile(t))
			recovered, log := recoverTampered(t, f)
			if len(recovered) != 1 || !contains(recovered[0].Err, tt.says) || len(log) > 0 {
				t.Errorf("Recover = %+v, want an error that says %q; %q ran", recovered, tt.says, log)
			}
			bad, err := f.journal.Unreadable()
			if err != nil || len(bad) != 1 || !contains(bad[0], tt.says) {
				t.Errorf("Unreadable = %v, %v, want one that says %q", bad, err, tt.says)
			}
		})
	}
}

// A journal that is replaced while its process lives is not locked.
func TestJournalReplacedWhileLocked(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	file := f.journalFile(t)
	text, err := os.ReadFile(file)
	check(t, err)
	check(t, os.Remove(file))
	check(t, os.WriteFile(file, text, 0o600))
	recovered, log := recoverTampered(t, f)
	if len(recovered) != 1 || !contains(recovered[0].Err, "it is a copy of a journal") || len(log) > 0 {
		t.Errorf("Recover = %+v; %q ran", recovered, log)
	}
	check(t, tx.Rollback(ctx))
	f.checkFiles(t)
}

// After a line that could not be written completely, the journal is still usable.
func TestIncompleteLine(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	check(t, tx.Do(ctx, makeFile("a")))
	var limit unix.Rlimit
	check(t, unix.Getrlimit(unix.RLIMIT_FSIZE, &limit))
	info, err := tx.File().Stat()
	check(t, err)
	low := limit
	low.Cur = uint64(info.Size()) + 20
	check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &low))
	err = tx.Do(ctx, makeFile("b"))
	check(t, unix.Setrlimit(unix.RLIMIT_FSIZE, &limit))
	if !contains(err, "cannot write the journal") {
		t.Errorf("Do = %v", err)
	}
	check(t, tx.Do(ctx, makeFile("c")))
	abandon(tx)
	if recovered := f.recover(t); len(recovered) != 1 || recovered[0].Err != nil {
		t.Errorf("Recover = %+v", recovered)
	}
	f.checkFiles(t)
}

func TestStepsOutOfBounds(t *testing.T) {
	f := newFixture(t.TempDir())
	tx, err := f.journal.Begin("a test")
	check(t, err)
	if err := tx.Do(ctx, makeFile("@rootfs")); !contains(err, `argument "@rootfs" of the step make is not of this transaction`) {
		t.Errorf("Do = %v", err)
	}
	if err := tx.Commit(ctx, flip("a", "@rootfs")); !contains(err, `argument "@rootfs" of the step flip is not of this transaction`) {
		t.Errorf("Commit = %v", err)
	}
	if err := tx.Do(ctx, makeFile("caf\xe9")); !contains(err, "is not UTF-8") {
		t.Errorf("Do = %v", err)
	}
	f.checkLog(t)
	check(t, tx.End())
	handler := f.journal.Handlers[kindMake]
	handler.Check = nil
	f.journal.Handlers[kindMake] = handler
	if _, err := f.journal.Begin("a test"); !contains(err, "step make has no bounds") {
		t.Errorf("Begin = %v", err)
	}
}
