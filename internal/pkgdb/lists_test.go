package pkgdb

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCacheName has names that apt has generated.
func TestCacheName(t *testing.T) {
	for want, c := range map[string]struct {
		Binary
		file string
	}{
		"vim_2%3a9.1.1230-2_amd64.deb":          {Binary{"vim", "2:9.1.1230-2", "amd64"}, "pool/main/v/vim/vim_9.1.1230-2_amd64.deb"},
		"libstdc++6_14.2.0-19_all.deb":          {Binary{"libstdc++6", "14.2.0-19", "all"}, "./libstdc++6_14.2.0-19_all.deb"},
		"a_1%25%5f2_linux%2eany.deb":            {Binary{"a", "1%_2", "linux.any"}, "a.deb"},
		"a-dbgsym_1~rc1+b2_arm64.ddeb":          {Binary{"a-dbgsym", "1~rc1+b2", "arm64"}, "pool/a.b/a-dbgsym.ddeb"},
		"a_1_all.nothing":                       {Binary{"a", "1", "all"}, "pool.d/nothing"},
		"a_1%20%7f%c3%a4_all.deb":               {Binary{"a", "1 \x7fä", "all"}, "a.deb"},
		"a_..%00_all.deb":                       {Binary{"a", "..\x00", "all"}, "a.deb"},
		"linux-image-6.12_6.12.9~a,b_amd64.deb": {Binary{"linux-image-6.12", "6.12.9~a,b", "amd64"}, "x.deb"},
	} {
		if got := c.CacheName(c.file); got != want {
			t.Errorf("%+v: %q, want %q", c, got, want)
		}
	}
}

// TestEachList checks that only the wanted lists of a directory are read.
func TestEachList(t *testing.T) {
	dir := t.TempDir()
	sum := func(c string) string { return strings.Repeat(c, 64) }
	stanza := func(pkg, version, arch, sum string, size int) string {
		return fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: %s\nDescription: x\n Size: 5\nFilename: pool/%s.deb\nSize: %d\nSHA256: %s\n\n", pkg, version, arch, pkg, size, sum)
	}
	for name, text := range map[string]string{
		"one_Packages": stanza("a", "1:1", "amd64", sum("A"), 10) + stanza("b", "1", "all", sum("b"), 20) + stanza("other", "1", "all", sum("0"), 1),
		"two_Packages": stanza("a", "1:1", "amd64", sum("c"), 11) + stanza("a", "2", "amd64", sum("d"), 12) +
			"Package: weak\nVersion: 1\nArchitecture: all\nFilename: weak.deb\nSize: 3\nMD5sum: 900150983cd24fb0d6963f7d28e17f72",
		"two_Sources": stanza("b", "1", "all", sum("e"), 30),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	wanted := map[string]bool{"a_1%3a1_amd64.deb": true, "b_1_all.deb": true, "weak_1_all.deb": true, "none_1_all.deb": true}
	found := map[string][]Archive{}
	if err := EachList(dir, func(list io.Reader) error { return ReadArchives(list, wanted, found) }); err != nil {
		t.Fatal(err)
	}
	want := map[string][]Archive{
		"a_1%3a1_amd64.deb": {{10, sum("a")}, {11, sum("c")}},
		"b_1_all.deb":       {{20, sum("b")}},
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Error(diff)
	}
}
