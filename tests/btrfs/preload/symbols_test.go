package preload_test

import (
	"debug/elf"
	"fmt"
	"testing"
)

// oldest is the minor version of glibc 2 in Debian oldstable.
const oldest = 36

// TestSymbols checks the versions of the symbols that the library needs. During an
// upgrade to the next release it runs with the old libc and with the new one.
func TestSymbols(t *testing.T) {
	file, err := elf.Open(build(t).library)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	symbols, err := file.ImportedSymbols()
	if err != nil || len(symbols) == 0 {
		t.Fatalf("the library imports %v, %v", symbols, err)
	}
	for _, s := range symbols {
		var minor int
		if n, _ := fmt.Sscanf(s.Version, "GLIBC_2.%d", &minor); n == 1 && minor > oldest {
			t.Errorf("%s needs %s, of a libc that is newer than oldstable's", s.Name, s.Version)
		}
	}
}
