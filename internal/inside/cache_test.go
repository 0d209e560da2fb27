package inside

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/apt-be/apt-be/internal/sandbox"
)

// TestHideCache has apt's package cache on mounts of all kinds.
func TestHideCache(t *testing.T) {
	dir := t.TempDir()
	cache, link := filepath.Join(dir, "cache/archives"), filepath.Join(dir, "link")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(cache, link); err != nil {
		t.Fatal(err)
	}
	mount := func(target string) sandbox.ForeignMount {
		return sandbox.ForeignMount{Target: target, Scratch: "scratch"}
	}
	fat := func(target string) sandbox.ForeignMount {
		return sandbox.ForeignMount{Target: target, Copy: true, Type: "vfat"}
	}
	hidden := func(place string) sandbox.ForeignMount { return sandbox.ForeignMount{Target: place, Volatile: true} }
	for name, c := range map[string]struct {
		place  string
		shares []sandbox.ForeignMount
		silent string
		want   []sandbox.ForeignMount
	}{
		"in the root":            {place: cache, shares: []sandbox.ForeignMount{mount("/srv")}, want: []sandbox.ForeignMount{mount("/srv"), hidden(cache)}},
		"a mount":                {place: cache, shares: []sandbox.ForeignMount{mount(cache), mount("/srv")}, want: []sandbox.ForeignMount{mount("/srv"), hidden(cache)}},
		"partial is a mount":     {place: cache, shares: []sandbox.ForeignMount{mount(cache + "/partial")}, want: []sandbox.ForeignMount{hidden(cache)}},
		"below a mount":          {place: cache, shares: []sandbox.ForeignMount{mount(dir)}, want: []sandbox.ForeignMount{mount(dir), hidden(cache)}},
		"beside a mount":         {place: cache, shares: []sandbox.ForeignMount{mount(cache + "2")}, want: []sandbox.ForeignMount{mount(cache + "2"), hidden(cache)}},
		"a link to a FAT":        {place: link, shares: []sandbox.ForeignMount{fat(dir + "/cache")}, want: []sandbox.ForeignMount{fat(dir + "/cache"), {Target: link, Copy: true}}},
		"below a FAT's overlay":  {place: cache, shares: []sandbox.ForeignMount{fat(dir), mount(dir + "/cache")}, want: []sandbox.ForeignMount{fat(dir), mount(dir + "/cache"), hidden(cache)}},
		"not there":              {place: dir + "/none"},
		"on one that is silent":  {place: cache, silent: dir},
		"beside one that is so":  {place: cache, silent: dir + "/cach", want: []sandbox.ForeignMount{hidden(cache)}},
		"itself one that is so":  {place: cache, silent: cache},
		"and one below is so":    {place: cache, silent: cache + "/partial", want: []sandbox.ForeignMount{hidden(cache)}},
		"nothing else is hidden": {place: "/none", shares: []sandbox.ForeignMount{mount("/srv")}, want: []sandbox.ForeignMount{mount("/srv")}},
	} {
		t.Run(name, func(t *testing.T) {
			var silent []sandbox.UnresponsiveMount
			if c.silent != "" {
				silent = append(silent, sandbox.UnresponsiveMount{Dir: c.silent})
			}
			got := hideCache(slices.Clone(c.shares), silent, c.place)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestIsCache checks that only directories with nothing but package files count as
// caches: writes to a cache are discarded.
func TestIsCache(t *testing.T) {
	for _, c := range []struct {
		entries string
		want    bool
	}{
		{"", false},
		{"partial/", true},
		{"lock partial/ a_1_all.deb b-dbgsym_1_all.ddeb lost+found/", true},
		{"lock partial/ notes", false},
		{"etc/ usr/ partial/ lock", false},
	} {
		dir := t.TempDir()
		for _, name := range strings.Fields(c.entries) {
			var err error
			if base, isDir := strings.CutSuffix(name, "/"); isDir {
				err = os.Mkdir(filepath.Join(dir, base), 0o755)
			} else {
				err = os.WriteFile(filepath.Join(dir, name), nil, 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if got := isCache(dir); got != c.want {
			t.Errorf("%q: %v, want %v", c.entries, got, c.want)
		}
	}
}
