package inside

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apt-be/apt-be/aptconf"
	"github.com/apt-be/apt-be/internal/frontend"
	"github.com/apt-be/apt-be/internal/sandbox"
)

// TestSettings checks that the commands that examine a root have the frontend's
// settings, wherever the settings files are, and by whatever path they were named.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, text := range map[string]string{
		"own.conf":   "A \"1\";\n#include \"inner.conf\";\n#include \"/nosuch\";\n",
		"inner.conf": "B \"1\";\n",
		"env.conf":   "C \"1\";\n#include \"" + filepath.Join(dir, "inner.conf") + "\";\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("APT_CONFIG", filepath.Join(dir, "env.conf"))
	inv := frontend.Parse(frontend.AptGet, []string{"-c", "own.conf", "-o", "D=1", "--config-file=./own.conf", "-c/nosuch", "-y", "dist-upgrade"})
	settings := SettingsOf(inv)
	spec := sandbox.Spec{Env: environment(os.Environ())}
	args := settings.give(&spec)

	resolve := func(place string) string { // reads the files that apt would read
		text, found := spec.Texts[place]
		if !found {
			t.Errorf("%s is not in the sandbox, which has %v", place, spec.Texts)
		}
		return text
	}
	if len(args) != 4 || args[1] != "--option=D=1" || args[3] != "--config-file=/nosuch" {
		t.Fatalf("options %q", args)
	}
	for _, arg := range []string{args[0], args[2]} {
		text := resolve(strings.TrimPrefix(arg, "--config-file="))
		if !strings.Contains(text, "A \"1\"") || !strings.Contains(text, "#include \"/nosuch\"") {
			t.Errorf("%s has %q", arg, text)
		}
		if inner := includes.FindStringSubmatch(text); resolve(inner[2]) != "B \"1\";\n" {
			t.Errorf("%s includes %q", arg, inner)
		}
	}
	i := slices.IndexFunc(spec.Env, func(entry string) bool { return strings.HasPrefix(entry, "APT_CONFIG=") })
	if i < 0 || !strings.Contains(resolve(strings.TrimPrefix(spec.Env[i], "APT_CONFIG=")), "#include \"/run/apt-be/settings-") {
		t.Errorf("the environment has no such file: %q", spec.Env)
	}

	// apt only warns about a missing file.
	t.Setenv("APT_CONFIG", "/nosuch")
	spec = sandbox.Spec{Env: environment(os.Environ())}
	SettingsOf(frontend.Parse(frontend.AptGet, []string{"dist-upgrade"})).give(&spec)
	if slices.Contains(spec.Env, "APT_CONFIG=/nosuch") {
		t.Error("what apt warns of once is named again")
	}
	(Settings{}).give(&spec)
}

// TestReadsOf checks that a sandbox shows the files of the configuration.
func TestReadsOf(t *testing.T) {
	dir := t.TempDir()
	own, inner, env := filepath.Join(dir, "own"), filepath.Join(dir, "inner"), filepath.Join(dir, "env")
	for file, text := range map[string]string{own: "#include \"" + inner + "\";\n", inner: "", env: ""} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("APT_CONFIG", env)
	reads := ReadsOf(frontend.Parse(frontend.Apt, []string{"dist-upgrade", "-c" + own}), configOf(t, "Apt-Be::Activate=yes"))
	for _, file := range []string{own, inner, env} {
		if !slices.Contains(reads.Files, file) {
			t.Errorf("%s is not shown: %q", file, reads.Files)
		}
	}
}

// configOf returns the configuration with one more setting, NAME=VALUE.
func configOf(t *testing.T, setting string) aptconf.Config {
	t.Helper()
	conf, err := aptconf.Parse([]byte(setting + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return conf
}
