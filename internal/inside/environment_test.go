package inside

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestEnvironment(t *testing.T) {
	const standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, tt := range []struct{ env, want []string }{
		{nil, []string{"PATH=/run/apt-be/bin:" + standard, "NEEDRESTART_SUSPEND=1"}},
		{
			[]string{"LANG=de_DE", "PATH=/opt/bin", "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=", "XPATH=/x"},
			[]string{"LANG=de_DE", "DEBIAN_FRONTEND=noninteractive", "XPATH=/x", "PATH=/run/apt-be/bin:/opt/bin", "NEEDRESTART_SUSPEND=1"},
		}, {
			[]string{"PATH=/bin", "TMPDIR=/tmp/user/0", "TMP=/tmp", "TEMP=/var/tmp", "XDG_RUNTIME_DIR=/run/user/0"},
			[]string{"TMP=/tmp", "TEMP=/var/tmp", "PATH=/run/apt-be/bin:/bin", "NEEDRESTART_SUSPEND=1"},
		},
	} {
		if got := environment(tt.env); !slices.Equal(got, tt.want) {
			t.Errorf("environment(%q) = %q, want %q", tt.env, got, tt.want)
		}
	}
}

func TestConfigureKeepsUsersFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "apt.conf")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for own, want := range map[string]string{
		"APT_CONFIG=" + file:        "Ours 1;\n#include \"" + file + "\";\n",
		"APT_CONFIG=" + file + "no": "Ours 1;\n",
		"APT_CONFIG=":               "Ours 1;\n",
		"OTHER=x":                   "Ours 1;\n",
	} {
		env, text := configure([]string{"A=b", own}, "Ours 1;\n")
		if text != want {
			t.Errorf("with %s: %q, want %q", own, text, want)
		}
		if got := env[len(env)-1]; got != "APT_CONFIG="+aptConfInside {
			t.Errorf("with %s: the environment ends with %s", own, got)
		}
	}
}
