package inside

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/sandbox"
)

func TestSourcePlaces(t *testing.T) {
	files := map[string]string{
		"/etc/mirrors": "file:/run/media/disc priority:1\nhttp://mirror.example/packages\nmirror+file:/loop\n",
	}
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing local", "deb http://host.example/packages stable main\ndeb [arch=amd64 trusted=yes] https://host.example/path ./\n", nil},
		{"a directory", "deb file:/srv/repo/ ./\n", []string{"/srv/repo"}},
		{"with an authority", "deb file:///srv/repo stable main", []string{"/srv/repo"}},
		{"quoted characters", "deb copy:/srv/my%20repo ./", []string{"/srv/my repo"}},
		{"a keyring", "deb [signed-by=/run/a.gpg,/run/b.gpg arch=amd64] http://host.example/packages stable main", []string{"/run/a.gpg", "/run/b.gpg"}},
		{"an option first", "deb [ trusted=yes ] file:/tmp/repo ./", []string{"/tmp/repo"}},
		{"deb822", "Types: deb\nURIs: file:/srv/a\n copy:/srv/b\nSuites: ./\nSigned-By: /etc/apt/keyrings/k.asc\n", []string{"/srv/a", "/srv/b", "/etc/apt/keyrings/k.asc"}},
		{"comments", "# deb file:/tmp ./\ndeb http://host.example/packages stable main # file:/tmp\n", nil},
		{"a list of mirrors", "deb mirror+file:/etc/mirrors stable main", []string{"/etc/mirrors", "/run/media/disc", "/loop"}},
	} {
		got := sourcePlaces(tt.text, func(file string) string { return files[file] })
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestHidden(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "hidden")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	elsewhere, err := os.MkdirTemp("/var/tmp", "seen")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(elsewhere) })
	file, way := filepath.Join(dir, "file"), filepath.Join(elsewhere, "way")
	for _, err := range []error{
		os.WriteFile(file, nil, 0o644),
		os.Symlink(dir, way),
		os.Symlink(elsewhere, filepath.Join(dir, "out")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, place string
		want        map[string]string
	}{
		{"a directory", dir, map[string]string{dir: dir}},
		{"a file", file, map[string]string{file: file}},
		{"a link to it", way + "/file", map[string]string{file: file}},
		{"a link from it", dir + "/out", map[string]string{dir + "/out": elsewhere}},
		{"what is seen inside", elsewhere, nil},
		{"what is not there", dir + "/none", nil},
		{"a device", "/dev/null", nil},
	} {
		got, err := hidden([]string{tt.place})
		if err != nil || !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
	for _, place := range []string{"/tmp", "/run/", "/var/../tmp"} {
		if _, err := hidden([]string{place}); err == nil || !strings.HasPrefix(err.Error(), "cannot show ") {
			t.Errorf("%s: %v, want an error", place, err)
		}
	}
}

func TestNetworkIsShown(t *testing.T) {
	for line, want := range map[string]string{
		"Apt-Be::Activate=yes": aptconf.NetworkDownload, "Apt-Be::Sandbox::Network=download": aptconf.NetworkDownload, "Apt-Be::Sandbox::Network=full": aptconf.NetworkFull,
	} {
		var spec sandbox.Spec
		if err := AptPlaces(configOf(t, line)).show(&spec); err != nil || spec.Network != want {
			t.Errorf("%q: %q, %v, want %q", line, spec.Network, err, want)
		}
	}
	var spec sandbox.Spec
	if err := AptPlaces(configOf(t, "Apt-Be::Sandbox::Network=x")).show(&spec); err == nil || spec.Network != "" {
		t.Errorf("of what means nothing: %q, %v", spec.Network, err)
	}
}
