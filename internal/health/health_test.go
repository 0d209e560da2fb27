package health

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// write creates a check.
func write(t *testing.T, dir, name, script string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	admin, packaged := t.TempDir(), t.TempDir()
	write(t, packaged, "10-good", "#!/bin/sh\necho fine\n")
	write(t, packaged, "20-bad", "#!/bin/sh\necho one\necho 'the \033[1mdisk\033[0m is full' >&2\necho\nexit 3\n")
	write(t, packaged, "30-off", "#!/bin/sh\nexit 1\n")
	write(t, packaged, "40-empty", "#!/bin/sh\nexit 1\n")
	write(t, packaged, "50-mine", "#!/bin/sh\nexit 1\n")
	write(t, packaged, "60-silent", "#!/bin/sh\nexit 4\n")
	write(t, packaged, "70-ours", "#!/bin/sh\necho 'apt-be: error: ssh.service failed' >&2\nexit 1\n")
	write(t, packaged, "80-child", "#!/bin/sh\nsleep 60 &\nexit 0\n")
	write(t, packaged, "90-not.dpkg-old", "#!/bin/sh\nexit 1\n")
	write(t, packaged, "90-not.apt-be-running", "#!/bin/sh\nexit 1\n")
	write(t, packaged, "91-no-interpreter", "#!/there/is/none\n")
	write(t, admin, "50-mine", "#!/bin/sh\nexit 0\n")
	write(t, admin, "40-empty", "")
	write(t, admin, "05-own", "#!/bin/sh\nexit 0\n")
	if err := os.Symlink("/dev/null", filepath.Join(admin, "30-off")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(admin, "README"), []byte("not a check"), 0o644); err != nil {
		t.Fatal(err)
	}

	var out strings.Builder
	began := time.Now()
	results := Run(context.Background(), []string{admin, filepath.Join(admin, "nothing"), packaged}, &out)
	var got []string
	for _, r := range results {
		is := "ok"
		if !r.OK {
			is = r.Reason
		}
		got = append(got, r.Name+": "+is)
	}
	want := []string{
		"05-own: ok", "10-good: ok", "20-bad: the [1mdisk[0m is full", "50-mine: ok",
		"60-silent: exit status 4", "70-ours: ssh.service failed", "80-child: ok",
	}
	if len(got) != len(want)+1 || !slices.Equal(got[:len(want)], want) || !strings.HasPrefix(got[len(want)], "91-no-interpreter: fork/exec") {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
	if !strings.Contains(out.String(), "fine\n10-good: ok\n") {
		t.Errorf("output:\n%s", out.String())
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %s: what a check leaves behind is waited for", took)
	}
}

func TestRunKillsHangingCheck(t *testing.T) {
	dir := t.TempDir()
	pid := filepath.Join(dir, "pid")
	write(t, dir, "hang", "#!/bin/sh\nsleep 1000 &\necho $! >"+pid+"\nwait\n")
	r := run(context.Background(), filepath.Join(dir, "hang"), 500*time.Millisecond, &strings.Builder{})
	if r.OK || r.Reason != "it took too long" {
		t.Errorf("got %+v", r)
	}
	child, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	// A killed process ends only after it runs once more, so the test waits for it.
	for range 1000 {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(child)) + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("what the check started still runs")
}

func TestRunAfterTheEnd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "check", "#!/bin/sh\n")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if r := Run(ctx, []string{dir}, &strings.Builder{}); len(r) != 1 || r[0].OK {
		t.Errorf("got %+v", r)
	}
}

func TestRunWithoutDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	write(t, filepath.Dir(file), "file", "x")
	if r := Run(context.Background(), []string{file}, &strings.Builder{}); len(r) != 1 || r[0].OK {
		t.Errorf("a file for a directory: %+v", r)
	}
}

func TestTail(t *testing.T) {
	said := &tail{}
	for range 1000 {
		if _, err := said.Write([]byte("a line\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := said.Write([]byte(strings.Repeat("ä", 300))); err != nil {
		t.Fatal(err)
	}
	if len(said.data) != tailSize {
		t.Errorf("%d bytes are kept", len(said.data))
	}
	if got := said.lastLine(); got != strings.Repeat("ä", 200)+"…" {
		t.Errorf("the last line is %q", got)
	}
}
