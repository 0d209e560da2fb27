package pkgdb

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
)

func FuzzRecords(f *testing.F) {
	f.Add([]byte(paragraph("p", "all", "1", "install ok installed")), []byte("Package: p\nStatus: install ok unpacked\n"), []byte("Package: p\nAuto-Installed: 1\n"))
	f.Add([]byte("Package: p\r\nStatus:\n"), []byte("#\n\n\n"), []byte(":\n"))
	f.Fuzz(func(t *testing.T, status, update, extended []byte) {
		var records recordSet
		if records.load(status) != nil || records.override(update) != nil || records.markAuto(extended) != nil {
			return
		}
		db := &DB{Packages: records.sorted()}
		for i, p := range db.Packages {
			if p.Name == "" || p.Status == "" || i > 0 && byNameAndArch(db.Packages[i-1], p) > 0 {
				t.Errorf("package %d: %+v", i, p)
			}
		}
		if diff, err := Compare(db, db); err == nil && diff.Len() != 0 {
			t.Errorf("differs from itself: %+v", diff)
		}
	})
}

func FuzzHistoryErrors(f *testing.F) {
	f.Add([]byte("a\n"), []byte("a\nError: x\n"))
	f.Fuzz(func(t *testing.T, old, grown []byte) {
		if len(HistoryErrors(old, old)) != 0 && bytes.HasSuffix(old, []byte("\n")) {
			t.Error("a log has errors beyond itself")
		}
		for _, found := range HistoryErrors(old, grown) {
			if strings.Contains(found, "\n") {
				t.Errorf("%q is more than one line", found)
			}
		}
	})
}

func FuzzPrettyName(f *testing.F) {
	f.Add([]byte("PRETTY_NAME=\"Debian \\\"x\"\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		if name := prettyName(content); strings.ContainsFunc(name, unicode.IsControl) {
			t.Errorf("%q has control characters", name)
		}
	})
}
