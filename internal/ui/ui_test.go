package ui

import (
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestNotice(t *testing.T) {
	tests := []struct {
		name  string
		quiet bool
		do    func(*Notice)
		want  string
	}{
		{"short", false, func(n *Notice) { n.Say("this upgrade goes to %s", "2026-11-20") }, "apt-be: this upgrade goes to 2026-11-20\n"},
		{"wrapped", false, func(n *Notice) {
			n.Say("the new system is ready in 2026-11-20; the running system was not touched and stays")
		}, "apt-be: the new system is ready in 2026-11-20; the running system was not\napt-be: touched and stays\n"},
		{"a command is not wrapped", false, func(n *Notice) { n.Say("to boot it:\n    apt-be activate 2026-11-20 %s", strings.Repeat("x", 70)) },
			"apt-be: to boot it:\napt-be:     apt-be activate 2026-11-20 " + strings.Repeat("x", 70) + "\n"},
		{"error", false, func(n *Notice) { n.Error(errors.New("cannot x: " + strings.Repeat("long ", 20))) }, "apt-be: error: cannot x: " + strings.TrimSpace(strings.Repeat("long ", 20)) + "\n"},
		{"narrow error", true, func(n *Notice) { n.Narrow().Error(errors.New("cannot x: " + strings.Repeat("long ", 20))) },
			"apt-be: error: cannot x: " + strings.TrimSpace(strings.Repeat("long ", 11)) + "\napt-be: " + strings.TrimSpace(strings.Repeat("long ", 9)) + "\n"},
		{"error of two lines", true, func(n *Notice) { n.Error(errors.New("cannot x:\ny\n")) }, "apt-be: error: cannot x:\napt-be: y\n"},
		{"hint", false, func(n *Notice) { n.Hint("run apt-be list") }, "apt-be: hint: run apt-be list\n"},
		{"escapes", false, func(n *Notice) { n.Say("a\x1b[31mb\u202e\tc\r") }, "apt-be: a\ufffd[31mb\ufffd c\n"},
		{"quiet", true, func(n *Notice) { n.Say("x"); n.Hint("y"); n.Warn("z") }, "apt-be: warning: z\n"},
		{"nothing", false, func(n *Notice) { n.Say("") }, "apt-be:\n"},
	}
	for _, test := range tests {
		var out strings.Builder
		test.do(NewNotice(&out, test.quiet))
		if out.String() != test.want {
			t.Errorf("%s:\ngot  %q\nwant %q", test.name, out.String(), test.want)
		}
	}
}

// Hear gets every message, including those that a quiet Notice does not print.
func TestHear(t *testing.T) {
	var heard []string
	n := NewNotice(io.Discard, true)
	n.Say("before")
	n.Hear(func(text string) { heard = append(heard, text) })
	n.Say("a long line, %s", strings.Repeat("x ", 80))
	n.Warn("b")
	n.Error(errors.New("cannot c"))
	n.Hint("d\x1b[1m\n  e\u009b")
	n.Hear(nil)
	n.Say("after")
	want := []string{"a long line, " + strings.Repeat("x ", 80), "warning: b", "error: cannot c", "hint: d\ufffd[1m\n  e\ufffd"}
	if !slices.Equal(heard, want) {
		t.Errorf("heard %q, want %q", heard, want)
	}
}

func FuzzNotice(f *testing.F) {
	f.Add("some words\n  and more\x1b")
	f.Fuzz(func(t *testing.T, text string) {
		var out strings.Builder
		NewNotice(&out, false).Say("%s", text)
		for line := range strings.Lines(out.String()) {
			if !strings.HasPrefix(line, "apt-be:") || strings.ContainsAny(line, "\x1b\r\t") {
				t.Errorf("%q", line)
			}
			_, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if utf8.RuneCountInString(line) > width+1 && strings.Contains(rest, " ") && !strings.HasPrefix(rest, " ") {
				t.Errorf("too long: %q", line)
			}
		}
	})
}

func TestTable(t *testing.T) {
	write := func(plain bool) string {
		var out strings.Builder
		table := NewTable(&out, plain, "NAME", "FLAGS", "TITLE")
		table.Row("2026-11-20", "NR", "Debian GNU/Linux 13 (trixie)")
		table.Row("a", "", "x\ty\n\x1b[1m")
		if err := table.Flush(); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	const columns = "NAME        FLAGS  TITLE\n2026-11-20  NR     Debian GNU/Linux 13 (trixie)\na           -      x y \ufffd[1m\n"
	if got := write(false); got != columns {
		t.Errorf("got:\n%s\nwant:\n%s", got, columns)
	}
	const plain = "2026-11-20\tNR\tDebian GNU/Linux 13 (trixie)\na\t-\tx y \ufffd[1m\n"
	if got := write(true); got != plain {
		t.Errorf("got:\n%s\nwant:\n%s", got, plain)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space") }

func TestWriteErrorsAreReported(t *testing.T) {
	for _, plain := range []bool{false, true} {
		table := NewTable(full{}, plain, "X")
		table.Row("x")
		if table.Flush() == nil {
			t.Errorf("plain %t: no error", plain)
		}
	}
	if JSON(full{}, 1) == nil {
		t.Error("JSON: no error")
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	err := JSON(&out, map[string]any{"b": []int{1}, "a": "<x> & \x1b\x7f\u009b\u202e"})
	const want = "{\n  \"a\": \"<x> & \\u001b\\u007f\\u009b\\u202e\",\n  \"b\": [\n    1\n  ]\n}\n"
	if err != nil || out.String() != want {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestSize(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 B", 1: "1 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 10 << 10: "10 KiB",
		1<<20 - 1: "1.0 MiB", 345 << 20: "345 MiB", 1288490189: "1.2 GiB", 3 << 40: "3.0 TiB",
		math.MaxInt64: "8.0 EiB", -2048: "-2.0 KiB", math.MinInt64: "-8.0 EiB",
	} {
		if got := Size(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}

func TestAge(t *testing.T) {
	for age, want := range map[time.Duration]string{
		-time.Hour: "0 min", 0: "0 min", 59 * time.Second: "0 min", 60 * time.Second: "1 min", 59 * time.Minute: "59 min",
		time.Hour: "1 h", 23*time.Hour + 59*time.Minute: "23 h", 24 * time.Hour: "1 day", 47 * time.Hour: "1 day", 30 * 24 * time.Hour: "30 days",
	} {
		if got := Age(age); got != want {
			t.Errorf("%v: %s, want %s", age, got, want)
		}
	}
}

func TestPrinter(t *testing.T) {
	const text = "a\tb\n\x1b[31mé\u009b \xff\x9b\u202e€\r"
	const want = "a\tb\n\ufffd[31mé\ufffd \ufffd\ufffd\ufffd€\ufffd"
	for step := 1; step <= len(text); step++ { // in pieces of any size
		var out strings.Builder
		w := Printer(&out)
		for i := 0; i < len(text); i += step {
			if _, err := io.WriteString(w, text[i:min(i+step, len(text))]); err != nil {
				t.Fatal(err)
			}
		}
		if out.String() != want {
			t.Errorf("in steps of %d: %q, want %q", step, out.String(), want)
		}
	}
	if _, err := Printer(full{}).Write([]byte("x")); err == nil {
		t.Error("no error")
	}
}
