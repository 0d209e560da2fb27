package aptconf

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestRead runs the apt-config of this machine.
func TestRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apt.conf")
	content := `Apt-Be::Redirect "no";
Apt-Be::Redirect::Commands { "upgrade"; "with space é %"; };
Binary::apt-get::Sample::Key "of apt-get";
Sample::Quote "it's 50% = {x};";
`
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	odd := "a\"b\n=c%41 é"
	c, err := Read(t.Context(), Query{
		Program: "apt-get",
		Args:    []string{"--config-file=" + file, "--option=Sample::Odd=" + odd, "--option=-x=y", "--option=apt-be::redirect=yes"},
		Env:     []string{"PATH=/usr/bin:/bin", "LC_ALL=C"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Sample::Odd": odd, "-x": "y", "Sample::Quote": "it's 50% = {x};", "Apt-Be::Redirect": "yes", "APT::Config::Dump::Format": dumpFormat,
	} {
		if got := c.String(name, ""); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if got := c.List("Apt-Be::Redirect::Commands"); !slices.Equal(got, []string{"upgrade", "with space é %"}) {
		t.Errorf("Commands = %q", got)
	}
}

// TestReadProgram checks that the items of a program are visible only to that program.
func TestReadProgram(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apt.conf")
	if err := os.WriteFile(file, []byte(`Binary::apt-get::Sample::Key "yes";`), 0o644); err != nil {
		t.Fatal(err)
	}
	for program, want := range map[string]bool{"apt-get": true, "apt": false, "": false} {
		c, err := Read(t.Context(), Query{Program: program, Env: []string{"APT_CONFIG=" + file, "PATH=/usr/bin:/bin"}})
		if err != nil || c.Bool("Sample::Key", false) != want {
			t.Errorf("%q: %v, %v", program, c.Bool("Sample::Key", false), err)
		}
	}
}

func TestReadFails(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.conf")
	if err := os.WriteFile(file, []byte("A \"b\"\nFoo::Bar"), 0o644); err != nil {
		t.Fatal(err)
	}
	env := []string{"LC_ALL=C", "PATH=/usr/bin:/bin"}
	for _, q := range []Query{
		{Args: []string{"--config-file=" + file}, Env: env},
		{Env: append([]string{"APT_CONFIG=" + file}, env...)},
	} {
		_, err := Read(t.Context(), q)
		if !errors.Is(err, ErrApt) || !strings.Contains(err.Error(), file+":2") {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := Read(t.Context(), Query{Args: []string{"--config-file=" + file + ".missing"}, Env: env}); !errors.Is(err, ErrApt) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Read(t.Context(), Query{AptConfig: "/nonexistent/apt-config"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing apt-config: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Read(ctx, Query{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
