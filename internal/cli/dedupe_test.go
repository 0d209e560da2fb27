package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	show, end := progressOn(&out, "comparing files", 0)
	show(9, 10)
	show(10, 10)
	end()
	want := "\rapt-be: comparing files: 9 of 10\rapt-be: comparing files: 10 of 10\r" + strings.Repeat(" ", 33) + "\r"
	if out.String() != want {
		t.Errorf("the terminal gets %q, want %q", out.String(), want)
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	f := newFixture(t)
	file, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer file.Close()
	f.app.Stderr = file
	if show, end := f.app.progress("comparing files"); show != nil {
		t.Error("progress goes into a file")
	} else {
		end()
	}
}
