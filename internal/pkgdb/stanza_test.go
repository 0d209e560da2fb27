package pkgdb

import (
	"strings"
	"testing"

	"pault.ag/go/debian/control"
)

// A description of a million lines does not make reading slow, as it would in the
// library.
func TestManyContinuationLines(t *testing.T) {
	text := "Package: a\nDescription: x\n" + strings.Repeat(" y\n", 1<<20) + "\nPackage: b\n"
	var names []string
	err := eachStanza([]byte(text), func(p control.Paragraph) error {
		name, _ := field(p, "package")
		names = append(names, name)
		return nil
	})
	if err != nil || strings.Join(names, " ") != "a b" {
		t.Errorf("read %q, %v", names, err)
	}
}

func TestEachStanzaRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"a signature":    "-----BEGIN PGP SIGNED MESSAGE-----\n\nPackage: a\n",
		"no field":       "Package: a\nbroken\n",
		"a long garbage": strings.Repeat("x", 1<<20) + "\n",
	} {
		err := eachStanza([]byte(text), func(control.Paragraph) error { return nil })
		if err == nil || len(err.Error()) > 200 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}
