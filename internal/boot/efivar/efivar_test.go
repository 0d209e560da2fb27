package efivar

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const variable = "LoaderEntryOneShot-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

func TestSetGetDelete(t *testing.T) {
	v := Vars{Dir: t.TempDir()}
	for _, text := range []string{"ab+1.conf", "é", "𝄞 longer than before", ""} {
		if err := v.Set("LoaderEntryOneShot", text); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get("LoaderEntryOneShot"); err != nil || got != text {
			t.Errorf("Get = %q, %v, want %q", got, err, text)
		}
	}
	for range 2 {
		if err := v.Delete("LoaderEntryOneShot"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := v.Get("LoaderEntryOneShot"); err != nil || got != "" {
		t.Errorf("Get = %q, %v after Delete", got, err)
	}
	if _, err := v.Read("LoaderEntryOneShot"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Read = %v after Delete", err)
	}
}

// TestFormat checks the format of systemd-boot and bootctl.
func TestFormat(t *testing.T) {
	v := Vars{Dir: t.TempDir()}
	if err := v.Set("LoaderEntryOneShot", "a.conf"); err != nil {
		t.Fatal(err)
	}
	const want = "\x07\x00\x00\x00a\x00.\x00c\x00o\x00n\x00f\x00\x00\x00"
	file := filepath.Join(v.Dir, variable)
	if data, err := os.ReadFile(file); err != nil || string(data) != want {
		t.Errorf("the variable is %q, %v, want %q", data, err, want)
	}
	for data, want := range map[string]string{
		"":                              "",
		"\x07\x00\x00\x00":              "",
		"\x07\x00\x00\x00a":             "",
		"\x07\x00\x00\x00a\x00":         "a",
		"\x07\x00\x00\x00a\x00\x00\x00": "a",
	} {
		if err := os.WriteFile(file, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get("LoaderEntryOneShot"); err != nil || got != want {
			t.Errorf("Get = %q, %v of %q, want %q", got, err, data, want)
		}
	}
}

func TestProbe(t *testing.T) {
	v := Vars{Dir: t.TempDir()}
	if err := v.Probe(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(v.Dir); err != nil || len(left) > 0 {
		t.Errorf("Probe left %v, %v", left, err)
	}
	v.Dir = filepath.Join(v.Dir, "none")
	if err := v.Probe(); err == nil || !strings.Contains(err.Error(), "cannot set the EFI variable AptBeProbe: ") {
		t.Error(err)
	}
}
