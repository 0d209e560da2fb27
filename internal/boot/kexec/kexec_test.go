package kexec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheckCommandLine(t *testing.T) {
	for _, fine := range []string{"", "root=UUID=1 ro", strings.Repeat("x", MaxCommandLine)} {
		if err := checkCommandLine(fine); err != nil {
			t.Errorf("%.20q: %v", fine, err)
		}
	}
	for _, bad := range []string{strings.Repeat("x", MaxCommandLine+1), "a\nb", "a\x00b"} {
		if err := checkCommandLine(bad); !errors.Is(err, ErrCommandLine) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestRefusal(t *testing.T) {
	good := facts{present: true, capable: true, limit: "-1"}
	if err := good.refusal(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*facts){
		"built without it":        func(f *facts) { f.present = false },
		"kexec_load_disabled":     func(f *facts) { f.disabled = true },
		"kexec_load_limit_reboot": func(f *facts) { f.limit = "0" },
		"CAP_SYS_BOOT":            func(f *facts) { f.capable = false },
	} {
		f := good
		spoil(&f)
		if err := f.refusal(); !errors.Is(err, ErrUnsupported) || !strings.Contains(err.Error(), want) {
			t.Errorf("refusal = %v, want %q", err, want)
		}
	}
}

func TestEffective(t *testing.T) {
	const status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000400000\n"
	for capability, want := range map[uint]bool{unix.CAP_SYS_BOOT: true, unix.CAP_SYS_ADMIN: false} {
		if got, err := effective(status, capability); err != nil || got != want {
			t.Errorf("capability %d: %v, %v", capability, got, err)
		}
	}
	for _, bad := range []string{"", "CapEff:\tx\n"} {
		if _, err := effective(bad, unix.CAP_SYS_BOOT); err == nil {
			t.Errorf("%q has capabilities", bad)
		}
	}
}

func TestLockdownMode(t *testing.T) {
	for text, want := range map[string]string{
		"[none] integrity confidentiality\n": "",
		"none [integrity] confidentiality\n": "integrity",
		"none integrity [confidentiality]\n": "confidentiality",
		"":                                   "",
	} {
		if got := lockdownMode(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, test := range []struct {
		err      error
		lockdown string
		want     string
	}{
		{unix.EPERM, "", "CAP_SYS_BOOT"},
		{unix.EPERM, "integrity", "locked down (integrity)"},
		{unix.EKEYREJECTED, "integrity", "not signed"},
		{unix.ENOSYS, "", "without kexec_file_load"},
		{unix.ENOEXEC, "", "not a kernel"},
		{unix.ENOMEM, "", "no memory"},
		{unix.EINVAL, "", "too long"},
	} {
		got := explain(test.err, test.lockdown)
		if !errors.Is(got, test.err) || !strings.Contains(got.Error(), test.want) {
			t.Errorf("explain(%v) = %v, want %q", test.err, got, test.want)
		}
	}
	if other := fmt.Errorf("other"); explain(other, "") != other {
		t.Error("an error that is not known got a meaning")
	}
}

// On every machine, a file that is not a kernel is not loaded.
func TestLoadRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(file, []byte("not a kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	kernel, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	if err := Load(kernel, nil, ""); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("Load = %v, want what was not loaded", err)
	}
}
